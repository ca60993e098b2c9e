// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/plan/learning_rate_curve.hpp"

#include <cstdint>
#include <string>

#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("The picture of a rising and falling learning rate rises and falls", "[plan][cpu]") {
  const auto triangle = [](std::int64_t step) {
    return 1e-3 * static_cast<double>(step < 800 ? step + 1 : 1600 - step) / 800;
  };
  // Eight columns up and eight down, each two eighths of a row higher than its neighbor.
  REQUIRE(learning_rate_curve(triangle, 1600, 16, 2) ==
          "0.001 │    ▂▄▆██▆▄▂    \n"
          "    0 │▂▄▆██████████▆▄▂\n"
          "      └────────────────\n"
          "       0    1,600 steps");
}

TEST_CASE("A peak of one step is drawn, and a rate of 0 is drawn flat", "[plan][cpu]") {
  const auto peak = [](std::int64_t step) { return step == 640 ? 2.0 : 0.0; };
  REQUIRE(learning_rate_curve(peak, 1024, 16, 1).find("2 │          █     \n") == 0);
  const auto nothing = [](std::int64_t) { return 0.0; };
  REQUIRE(learning_rate_curve(nothing, 10, 16, 1).find("0 │                \n") == 0);
  REQUIRE_THROWS_WITH(learning_rate_curve(nothing, 0), Catch::Matchers::Contains("total_steps"));
}

TEST_CASE("A constant learning rate fills the picture", "[plan][cpu]") {
  const auto constant = [](std::int64_t) { return 0.5; };
  REQUIRE(learning_rate_curve(constant, 3, 16, 2) ==
          "0.5 │████████████████\n"
          "  0 │████████████████\n"
          "    └────────────────\n"
          "     0        3 steps");
}
