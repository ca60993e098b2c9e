// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/precision/parameter_bytes.hpp"

#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("Bytes per parameter add up weights, casts, gradients, moments and masters",
          "[precision][cpu]") {
  const auto total = [](const char* name) {
    const auto bytes = parameter_bytes(precision_policy(name));
    return bytes.weights + bytes.gradients + bytes.optimizer;
  };
  REQUIRE(total("fp32") == 4 + 4 + 8);
  REQUIRE(total("bf16") == 4 + 2 + 4 + 8);
  REQUIRE(total("pure_bf16") == 2 + 2 + 8 + 4);
  REQUIRE(parameter_bytes(precision_policy("fp16")).activations == 2);
  REQUIRE(parameter_bytes(precision_policy("tf32")).activations == 4);
}
