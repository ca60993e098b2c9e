// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/plan/announce_plan.hpp"

#include <sstream>

#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

RunPlan plan_with_warmup(std::int64_t warmup_steps) {
  return RunPlan(ModelFacts{.name = "RN50"}, DataFacts{.samples = 10'000, .batch_size = 100},
                 ScheduleFacts{.peak_lr = 1e-3, .warmup_steps = warmup_steps, .total_steps = 200});
}

}  // namespace

TEST_CASE("A plan whose warm-up is longer than the run does not start unless forced",
          "[plan][cpu]") {
  const auto plan = plan_with_warmup(400);
  std::ostringstream out;
  REQUIRE_FALSE(announce_plan(plan, out, /*force=*/false));
  REQUIRE_THAT(out.str(), Contains("RN50") && Contains("refused: ") && Contains("400"));
  std::ostringstream forced;
  REQUIRE(announce_plan(plan, forced, /*force=*/true));
  REQUIRE_THAT(forced.str(), Contains("warning: ") && !Contains("refused: "));
}

TEST_CASE("A sound plan starts", "[plan][cpu]") {
  std::ostringstream out;
  REQUIRE(announce_plan(plan_with_warmup(10), out, /*force=*/false));
  REQUIRE_THAT(out.str(), !Contains("warning: "));
}
