// SPDX-License-Identifier: CC0-1.0
// A sink of your own: an object that receives the numbers of a step. Expect a bar for every tenth
// step, which is as long as the loss is large.
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

// snippet: own_sink
/// Draws the loss as a bar.
struct LossBars {
  void on_step(const cp::StepRecord& record) {
    const double loss = record.find("loss").value_or(0.0);
    std::cout << record.step << " " << std::string(static_cast<std::size_t>(20 * loss), '#')
              << "\n";
  }
};
// snippet end

int main() {
  torch::manual_seed(1);
  torch::Tensor weight = torch::randn({4}, torch::requires_grad());
  cp::AdamW optimizer({{.parameters = {weight}, .parameter_names = {"weight"}}});
  LossBars bars;
  for (std::int64_t step = 1; step <= 100; ++step) {
    optimizer.zero_grad();
    const cp::LossTerms terms = weight.square().sum();
    terms.total.backward();
    optimizer.step(0.02);
    if (step % 10 != 0) continue;
    cp::StepRecord record{.step = step};
    record.add(terms).add("lr", 0.02);
    cp::notify(record, bars);  // any number of sinks: a progress line, a log, ...
  }
}
