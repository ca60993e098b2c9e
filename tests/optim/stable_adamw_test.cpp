// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/optim/stable_adamw.hpp"

#include <cmath>

#include "contrapunto/optim/adamw.hpp"
#include "optim/rule_loop.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

TEST_CASE("StableAdamW follows algorithm 2 of its paper for 100 steps", "[optim][cpu]") {
  torch::manual_seed(1);
  const auto kind = GENERATE(torch::kFloat, torch::kDouble);
  const StableAdamWRule rule = GENERATE(StableAdamWRule{}, StableAdamWRule{0.8, 0.95, 1e-3});
  int clipped = 0, whole = 0;
  // The paper keeps means without bias, by decays that depend on the step.
  test::check_follows(
      test::mixed_groups(kind), rule, [&](test::Loop& p, const at::Tensor& g, double lr) {
        const auto decay = [&](double beta) {
          return beta * (1 - std::pow(beta, p.steps - 1)) / (1 - std::pow(beta, p.steps));
        };
        auto &v = p.at("v"), &u = p.at("u");
        const double b1 = decay(rule.beta1), b2 = decay(rule.beta2);
        v = b1 * v + (1 - b1) * g;
        u = b2 * u + (1 - b2) * g * g;
        const double rms = (g * g / u.clamp_min(rule.eps * rule.eps)).mean().sqrt().item<double>();
        const double eta = lr / std::max(1.0, rms);
        ++(rms > 1 ? clipped : whole);
        p.value = p.value - eta * p.weight_decay * p.value - eta * v / (u.sqrt() + rule.eps);
      });
  CHECK(clipped > 50);
  CHECK(whole > 50);
}

TEST_CASE("StableAdamW takes the steps of AdamW while gradients do not grow", "[optim][cpu]") {
  const auto a = torch::ones({3}).requires_grad_(true), b = torch::ones({3}).requires_grad_(true);
  StableAdamW stable({test::group("g", {a}, 0.1)}, {.beta2 = 0.9, .eps = 1e-8});
  AdamW plain({test::group("g", {b}, 0.1)}, {.beta2 = 0.9});
  for (int step = 0; step < 5; ++step) {
    a.mutable_grad() = torch::full({3}, 1.0 / (1 + step));
    b.mutable_grad() = a.grad().clone();
    stable.step(1e-2);
    plain.step(1e-2);
  }
  CHECK(test::close(a, b, 2));
}

TEST_CASE("StableAdamW refuses decays that are none", "[optim][cpu]") {
  CHECK_THROWS_WITH(StableAdamW({}, {.beta1 = 1.0}), Contains("StableAdamW: beta1 (1)"));
  CHECK_THROWS_WITH(StableAdamW({}, {.eps = -1.0}), Contains("eps (-1)"));
}
