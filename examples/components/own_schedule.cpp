// SPDX-License-Identifier: CC0-1.0
// A learning-rate schedule of your own: any function of the optimizer step. Expect its curve, with
// three restarts.
#include <contrapunto/contrapunto.hpp>
#include <iostream>
#include <numbers>

namespace cp = contrapunto;

// snippet: own_schedule
/// Cosine decay that starts again every `period` steps.
struct WarmRestarts {
  double peak_lr = 1e-3;
  std::int64_t period = 250;

  double operator()(std::int64_t step) const {  // a pure function: resuming needs no state
    const double t = static_cast<double>(step % period) / static_cast<double>(period);
    return 0.5 * peak_lr * (1.0 + std::cos(std::numbers::pi * t));
  }
};
static_assert(cp::Schedule<WarmRestarts>);
// snippet end

int main() {
  const WarmRestarts schedule;
  std::cout << cp::learning_rate_curve(schedule, 1'000) << "\n";
  torch::Tensor weight = torch::ones({4}, torch::requires_grad());
  cp::AdamW optimizer({{.parameters = {weight}, .parameter_names = {"weight"}}});
  for (std::int64_t step = 0; step < 1'000; ++step) {
    optimizer.zero_grad();
    weight.square().sum().backward();
    optimizer.step(schedule(step));
  }
  std::cout << "distance from the minimum: " << weight.norm().item<double>() << "\n";
}
