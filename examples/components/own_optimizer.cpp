// SPDX-License-Identifier: CC0-1.0
// An update rule of your own. The optimizer around it brings decay groups, float32 copies of 16-bit
// weights, exact resume and state that is sharded over ranks. Expect the loss after 100 steps of
// each rule of the library and of the own one, all far below that at the start.
#include <torch/torch.h>

#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

// snippet: own_optimizer
/// Gradient descent with a momentum whose steps are as long as `lr` times the weights.
struct RelativeMomentum {
  double momentum = 0.9;

  [[nodiscard]] std::string name() const { return "RelativeMomentum"; }
  void check() const { TORCH_CHECK(momentum >= 0 && momentum < 1, "momentum is ", momentum); }
  [[nodiscard]] std::vector<std::string> state_names(const std::string& /*name*/,
                                                     const at::Tensor& /*parameter*/) const {
    return {"momentum_buffer"};
  }
  void update(const cp::UpdateBatch& batch) const {
    for (std::size_t i = 0; i < batch.weights.size(); ++i) {
      const auto& weight = batch.weights[i];
      const auto& mean =
          batch.state.at("momentum_buffer")[i].lerp_(batch.gradients[i], 1 - momentum);
      weight.mul_(1 - batch.lr * batch.weight_decay);
      weight.sub_(mean * (batch.lr * (weight.norm() + 1e-3) / (mean.norm() + 1e-12)));
    }
  }
};
static_assert(cp::UpdateRule<RelativeMomentum>);
// snippet end

int main() {
  const std::vector<std::pair<cp::AnyUpdateRule, double>> rules{
      {cp::AdamWRule{.beta2 = 0.98}, 1e-2},
      {cp::StableAdamWRule{}, 1e-2},
      {cp::LambRule{}, 1e-2},
      {cp::LionRule{}, 2e-3},
      {cp::MuonRule{}, 1e-2},
      {RelativeMomentum{.momentum = 0.8}, 2e-2}};
  bool all_learn = true;
  for (const auto& [rule, lr] : rules) {
    torch::manual_seed(1);
    torch::nn::Sequential model(torch::nn::Linear(16, 64), torch::nn::GELU(),
                                torch::nn::Linear(64, 4));
    const auto input = torch::randn({256, 16});
    const auto target = input.matmul(torch::randn({16, 4})).tanh();
    cp::Optimizer optimizer(cp::decay_groups(*model, /*weight_decay=*/0.01), rule);
    double first = 0, last = 0;
    for (int step = 0; step < 100; ++step) {
      optimizer.zero_grad();
      const auto loss = torch::mse_loss(model->forward(input), target);
      loss.backward();
      optimizer.step(lr);
      (step == 0 ? first : last) = loss.item<double>();
    }
    std::cout << rule.name() << ": " << first << " to " << last << "\n";
    all_learn = all_learn && last < first / 2;
  }
  return all_learn ? 0 : 1;
}
