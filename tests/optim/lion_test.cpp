// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/optim/lion.hpp"

#include "optim/rule_loop.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

TEST_CASE("Lion follows its paper for 100 steps", "[optim][cpu]") {
  torch::manual_seed(3);
  const auto kind = GENERATE(torch::kFloat, torch::kDouble);
  const LionRule rule = GENERATE(LionRule{}, LionRule{0.95, 0.98});
  test::check_follows(test::mixed_groups(kind), rule,
                      [&](test::Loop& p, const at::Tensor& g, double lr) {
                        auto& m = p.at("m");
                        const auto c = rule.beta1 * m + (1 - rule.beta1) * g;
                        p.value = p.value - lr * (c.sign() + p.weight_decay * p.value);
                        m = rule.beta2 * m + (1 - rule.beta2) * g;
                      });
}

TEST_CASE("Lion does not move a weight whose gradients were all 0", "[optim][cpu]") {
  const auto p = test::parameter({4});
  p.mutable_grad() = torch::tensor({0.0F, 1.0F, -2.0F, 0.0F});
  const auto before = p.detach().clone();
  Lion({test::group("g", {p}, 0.0)}).step(0.5);
  CHECK(test::close(p, before - torch::tensor({0.0F, 0.5F, -0.5F, 0.0F})));
}

TEST_CASE("Lion refuses decays that are none", "[optim][cpu]") {
  CHECK_THROWS_WITH(Lion({}, {.beta2 = 1.0}), Contains("Lion: beta1 (0.9) and beta2 (1)"));
}
