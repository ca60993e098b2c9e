// SPDX-License-Identifier: CC0-1.0
// Sharded optimizer state: each rank keeps the moments of some parameters only, and the weights are
// those of AdamW, to the bit. Run it alone or with scripts/launch -n 2 sharded_optimizer. Expect
// equal weights.
#include <torch/torch.h>

#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

int main() {
  cp::Ranks ranks;
  try {
    ranks = cp::join_ranks();
    const auto trained = [](auto make_optimizer) {
      torch::manual_seed(1);
      torch::nn::Sequential model(torch::nn::Linear(16, 64), torch::nn::GELU(),
                                  torch::nn::Linear(64, 4));
      auto optimizer = make_optimizer(cp::decay_groups(*model, 0.1));
      for (int step = 0; step < 5; ++step) {
        optimizer.zero_grad();
        model->forward(torch::randn({8, 16})).square().mean().backward();  // equal on all ranks
        optimizer.step(1e-3);
      }
      return model->parameters().front().detach().clone();
    };
    const auto plain = trained([](const auto& groups) { return cp::AdamW(groups); });
    // snippet: sharded_optimizer
    const auto sharded = trained(
        [&](const auto& groups) { return cp::ShardedOptimizer(groups, ranks, cp::AdamWRule{}); });
    // snippet end
    const bool equal = sharded.equal(plain);
    if (ranks.is_first())
      std::cout << ranks.size() << " ranks, weights " << (equal ? "equal" : "differ") << "\n";
    ranks.sign_off();
    return equal ? 0 : 1;
  } catch (const std::exception& error) {
    std::cerr << "sharded_optimizer: " << ranks.explain(error) << "\n";
    return 1;
  }
}
