// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/core/state.hpp"

#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

TEST_CASE("A state returns what was put in and names what is missing", "[core][cpu]") {
  State state;
  state.scalars["step"] = std::int64_t{12};
  state.scalars["name"] = std::string("run");
  state.tensors["weight"] = torch::ones({2});
  REQUIRE(state.scalar<std::int64_t>("step") == 12);
  REQUIRE(state.scalar<std::string>("name") == "run");
  REQUIRE(state.tensor("weight").numel() == 2);
  REQUIRE_THROWS_WITH(state.scalar<double>("step"), Contains("'step'") && Contains("another type"));
  REQUIRE_THROWS_WITH(state.scalar<double>("lr"), Contains("'lr'"));
  REQUIRE_THROWS_WITH(state.tensor("bias"), Contains("'bias'"));
}
