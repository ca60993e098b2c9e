// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/checkpoint/module_state.hpp"

#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

torch::nn::Sequential small_model() {
  return torch::nn::Sequential(torch::nn::Conv2d(3, 4, 3), torch::nn::BatchNorm2d(4),
                               torch::nn::Flatten());
}

}  // namespace

TEST_CASE("The state of a module has parameters and buffers and loads into an equal module",
          "[checkpoint][cpu]") {
  torch::manual_seed(2);
  auto a = small_model();
  auto b = small_model();
  a->forward(torch::randn({5, 3, 4, 4}));  // Moves the running statistics.
  const auto state = module_state(*a);
  REQUIRE(state.tensors.size() == 2 + 2 + 3);
  REQUIRE(state.tensors.count("1.running_mean") == 1);
  load_module_state(*b, state);
  a->eval();
  b->eval();
  const auto x = torch::randn({2, 3, 4, 4});
  REQUIRE(a->forward(x).equal(b->forward(x)));
  REQUIRE(b->parameters()[0].requires_grad());
}

TEST_CASE("Loading a module's state keeps the module's dtype", "[checkpoint][cpu]") {
  auto a = torch::nn::Linear(2, 2);
  auto b = torch::nn::Linear(2, 2);
  b->to(at::kBFloat16);
  load_module_state(*b, module_state(*a));
  REQUIRE(b->weight.scalar_type() == at::kBFloat16);
  REQUIRE(b->weight.equal(a->weight.to(at::kBFloat16)));
}

TEST_CASE("A state that does not fit is refused as a whole, with a list of the differences",
          "[checkpoint][cpu]") {
  auto module = torch::nn::Linear(2, 3);
  const auto before = module->bias.clone();
  State state;
  state.tensors["weight"] = torch::zeros({3, 4});
  state.tensors["wieght"] = torch::zeros({3, 2});
  REQUIRE_THROWS_WITH(load_module_state(*module, state),
                      Contains("missing: bias [3]") && Contains("unexpected: wieght [3, 2]") &&
                          Contains("weight is [3, 2] here, [3, 4] in the state"));
  state.tensors = {{"bias", torch::zeros({3})}, {"weight", torch::zeros({3, 4})}};
  REQUIRE_THROWS_WITH(load_module_state(*module, state), Contains("other shape: weight"));
  REQUIRE(module->bias.equal(before));
}
