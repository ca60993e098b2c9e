// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/optim/lamb.hpp"

#include <cmath>

#include "optim/rule_loop.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

TEST_CASE("LAMB follows its paper for 100 steps", "[optim][cpu]") {
  torch::manual_seed(2);
  const auto kind = GENERATE(torch::kFloat, torch::kDouble);
  const LambRule rule = GENERATE(LambRule{}, LambRule{0.8, 0.95, 1e-3, true});
  test::check_follows(
      test::mixed_groups(kind), rule, [&](test::Loop& p, const at::Tensor& g, double lr) {
        auto &m = p.at("m"), &v = p.at("v");
        m = rule.beta1 * m + (1 - rule.beta1) * g;
        v = rule.beta2 * v + (1 - rule.beta2) * g * g;
        const auto r = (m / (1 - std::pow(rule.beta1, p.steps))) /
                       ((v / (1 - std::pow(rule.beta2, p.steps))).sqrt() + rule.eps);
        const auto u = r + p.weight_decay * p.value;
        const bool adapts = p.weight_decay > 0 || rule.always_adapt;
        const double ratio = adapts ? (p.value.norm() / u.norm()).item<double>() : 1.0;
        p.value = p.value - lr * ratio * u;
      });
}

TEST_CASE("LAMB does not scale the step of weights or gradients that are 0", "[optim][cpu]") {
  const auto zero = torch::zeros({4}).requires_grad_(true), still = test::parameter({4});
  Lamb optimizer({test::group("g", {zero, still}, 0.1)}, {.always_adapt = true});
  zero.mutable_grad() = torch::ones({4});
  still.mutable_grad() = torch::zeros({4});
  const auto before = still.detach().clone();
  optimizer.step(0.5);
  CHECK(test::close(zero, torch::full({4}, -0.5), 2));
  // Its only step is the decay, which is scaled to the norm of the weights: w - lr * w.
  CHECK(test::close(still, before * 0.5));

  const auto both = torch::zeros({4}).requires_grad_(true);
  both.mutable_grad() = torch::zeros({4});
  Lamb({test::group("g", {both}, 0.1)}).step(0.5);
  CHECK(torch::equal(both.detach(), torch::zeros({4})));
}

TEST_CASE("LAMB refuses decays that are none", "[optim][cpu]") {
  CHECK_THROWS_WITH(Lamb({}, {.beta2 = -0.1}), Contains("LAMB: beta1 (0.9) and beta2 (-0.1)"));
}
