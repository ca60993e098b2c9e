// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/autograd/custom_gradient.hpp"

#include <memory>
#include <optional>

#include "support/catch.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

/// a * b and a + b; what the gradient holds lives as long as `held`.
std::vector<at::Tensor> product_and_sum(const at::Tensor& a, const at::Tensor& b,
                                        std::weak_ptr<int>* held = nullptr) {
  const auto token = std::make_shared<int>(0);
  if (held) *held = token;
  std::vector<at::Tensor> outputs;
  {
    const torch::NoGradGuard no_grad;
    outputs = {a * b, a + b};
  }
  return with_gradient(
      {a, b}, outputs,
      [token](const std::vector<at::Tensor>& inputs, const std::vector<at::Tensor>& gradients) {
        std::vector<at::Tensor> result(2);
        if (gradients[0].defined()) result = {gradients[0] * inputs[1], gradients[0] * inputs[0]};
        if (gradients[1].defined())
          for (auto& g : result) g = g.defined() ? g + gradients[1] : gradients[1];
        return result;
      });
}

at::Tensor leaf() {
  return torch::randn({3, 2}, torch::kDouble).requires_grad_();
}

}  // namespace

TEST_CASE("with_gradient is an ordinary node of the graph", "[core][cpu]") {
  torch::manual_seed(0);
  const auto a = leaf(), b = leaf();
  const auto outputs = product_and_sum(a.exp(), b);  // one input has history
  const auto ours = torch::autograd::grad({(outputs[0].sin() + outputs[1]).sum()}, {a, b});
  const auto theirs = torch::autograd::grad({((a.exp() * b).sin() + a.exp() + b).sum()}, {a, b});
  CHECK(test::close(ours[0], theirs[0]));
  CHECK(test::close(ours[1], theirs[1]));

  SECTION("an output that is not used brings an undefined gradient") {
    const auto g = torch::autograd::grad({product_and_sum(a, b)[1].sum()}, {a, b});
    CHECK(torch::equal(g[0], torch::ones_like(a)));
    CHECK(torch::equal(g[1], torch::ones_like(b)));
  }
  SECTION("an input without gradient gets none") {
    const auto fixed = torch::randn({3, 2}, torch::kDouble);
    product_and_sum(a, fixed)[0].sum().backward();
    CHECK(torch::equal(a.grad(), fixed));
    CHECK(!fixed.grad().defined());
  }
  SECTION("nothing is recorded where nothing needs a gradient") {
    CHECK(!product_and_sum(a.detach(), b.detach())[0].requires_grad());
    const torch::NoGradGuard no_grad;
    CHECK(!product_and_sum(a, b)[0].requires_grad());
  }
}

TEST_CASE("with_gradient releases what its gradient holds after backward", "[core][cpu]") {
  const auto a = leaf(), b = leaf();
  std::weak_ptr<int> held;
  const auto y = product_and_sum(a, b, &held)[0].sum();
  y.backward({}, /*retain_graph=*/true);
  CHECK(!held.expired());
  const auto once = a.grad().clone();
  y.backward();
  CHECK(held.expired());  // although y and its graph are still there
  CHECK(torch::equal(a.grad(), 2 * once));
  CHECK_THROWS_WITH(y.backward(), Contains("second time"));
}

TEST_CASE("with_gradient raises where the gradient would be wrong", "[core][cpu]") {
  const auto a = leaf(), b = leaf();
  SECTION("second derivatives") {
    CHECK_THROWS_WITH(torch::autograd::grad({product_and_sum(a, b)[0].sum()}, {a}, {}, std::nullopt,
                                            /*create_graph=*/true),
                      Contains("second derivatives"));
  }
  SECTION("an input changed in place") {
    const auto in = a.exp();
    const auto y = product_and_sum(in, b)[0].sum();
    in.mul_(2);
    CHECK_THROWS_WITH(y.backward(), Contains("modified by an inplace operation"));
  }
}
