// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "support/catch.hpp"

#include "contrapunto/nn/activation.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;

TEST_CASE("QuickGELU is x times sigmoid(1.702 x), and so is its gradient", "[nn][cpu]") {
  torch::manual_seed(1);
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    const auto x = (4 * torch::randn({1000}, at::dtype(at::kDouble))).to(dtype).requires_grad_();
    const auto y = activate(x, Activation::kQuickGelu);
    y.sum().backward();
    const auto z = x.detach().to(at::kDouble).requires_grad_();
    const auto expected = z * torch::sigmoid(1.702 * z);
    expected.sum().backward();
    CHECK(test::close(y, expected));
    CHECK(test::close(x.grad(), z.grad()));
  }
}

TEST_CASE("GELU is the exact error-function form", "[nn][cpu]") {
  const auto x = torch::linspace(-5, 5, 101, at::dtype(at::kDouble));
  CHECK(
      test::close(activate(x, Activation::kGelu), x * 0.5 * (1 + torch::erf(x / std::sqrt(2.0)))));
}
