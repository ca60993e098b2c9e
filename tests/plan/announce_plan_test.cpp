// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/plan/announce_plan.hpp"

#include <sstream>

#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

TEST_CASE("A plan whose warm-up outlives the run does not start unless forced", "[plan][cpu]") {
  RunPlan plan{.model = "RN50", .dataset_samples = 10'000, .batch_size = 100, .total_steps = 200};
  plan.peak_lr = 1e-3;
  plan.warmup_steps = 400;
  std::ostringstream out;
  REQUIRE_FALSE(announce_plan(plan, out, /*force=*/false));
  REQUIRE_THAT(out.str(), Contains("RN50") && Contains("refused: ") && Contains("400"));
  std::ostringstream forced;
  REQUIRE(announce_plan(plan, forced, /*force=*/true));
  REQUIRE_THAT(forced.str(), Contains("warning: ") && !Contains("refused: "));
}

TEST_CASE("A sound plan starts", "[plan][cpu]") {
  RunPlan plan{
      .model = "RN50", .dataset_samples = 1'000'000, .batch_size = 100, .total_steps = 20'000};
  plan.peak_lr = 1e-3;
  plan.warmup_steps = 1'000;
  std::ostringstream out;
  REQUIRE(announce_plan(plan, out, /*force=*/false));
}
