// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "contrapunto/schedule/learning_rate_scaling.hpp"
#include "contrapunto/schedule/warmup_constant.hpp"
#include "contrapunto/schedule/warmup_constant_cooldown.hpp"
#include "contrapunto/schedule/warmup_cosine.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

// Golden values: OpenCLIP's formulas at peak 1e-3, 10 steps of warm-up, 100 in all.
template <class Schedule>
void check_warmup(const Schedule& lr) {
  CHECK(lr(0) == Approx(1e-4).epsilon(1e-13));
  CHECK(lr(4) == Approx(5e-4).epsilon(1e-13));
  CHECK(lr(9) == Approx(1e-3).epsilon(1e-13));
  CHECK(lr(10) == Approx(1e-3).epsilon(1e-13));
  CHECK_THROWS_WITH(lr(-1), Contains("-1"));
}

}  // namespace

TEST_CASE("The cosine has OpenCLIP's values", "[schedule][cpu]") {
  const WarmupCosine lr({.peak_lr = 1e-3, .warmup_steps = 10, .total_steps = 100});
  check_warmup(lr);
  CHECK(lr(55) == Approx(5e-4).epsilon(1e-13));
  CHECK(lr(99) == Approx(3.0458649e-7).epsilon(1e-7));
  CHECK(lr(100) == Approx(0.0).margin(1e-19));
  CHECK(lr(1'000'000) == lr(100));
}

TEST_CASE("The cosine ends at its final rate and is symmetric about its middle",
          "[schedule][cpu]") {
  const WarmupCosine lr({.peak_lr = 1e-3, .final_lr = 1e-4, .total_steps = 80});
  CHECK(lr(0) == Approx(1e-3).epsilon(1e-13));
  CHECK(lr(80) == Approx(1e-4).epsilon(1e-13));
  for (int step = 0; step <= 80; ++step)
    CHECK(lr(step) + lr(80 - step) == Approx(1.1e-3).epsilon(1e-13));
}

TEST_CASE("The constant schedule warms up and stays at its peak", "[schedule][cpu]") {
  const WarmupConstant lr({.peak_lr = 1e-3, .warmup_steps = 10});
  check_warmup(lr);
  CHECK(lr(1'000'000'000) == 1e-3);
  CHECK(WarmupConstant({.peak_lr = 1e-3})(0) == 1e-3);
}

TEST_CASE("The cooldown has OpenCLIP's values", "[schedule][cpu]") {
  const WarmupConstantCooldown lr(
      {.peak_lr = 1e-3, .warmup_steps = 10, .cooldown_steps = 20, .total_steps = 100});
  check_warmup(lr);
  CHECK(lr(79) == 1e-3);
  CHECK(lr(80) == Approx(1e-3).epsilon(1e-13));
  CHECK(lr(90) == Approx(5e-4).epsilon(1e-13));
  CHECK(lr(99) == Approx(5e-5).epsilon(1e-12));
  CHECK(lr(100) == 0.0);
  CHECK(lr(500) == 0.0);
}

TEST_CASE("The cooldown follows its power down to its final rate", "[schedule][cpu]") {
  const WarmupConstantCooldown lr(
      {.peak_lr = 1e-3, .final_lr = 1e-4, .cooldown_steps = 10, .total_steps = 10, .power = 2.0});
  CHECK(lr(0) == Approx(1e-3).epsilon(1e-13));
  CHECK(lr(5) == Approx(1e-4 + 9e-4 * 0.25).epsilon(1e-13));
  CHECK(lr(10) == Approx(1e-4).epsilon(1e-13));
}

TEST_CASE("Without cooldown the rate stays to the end and beyond", "[schedule][cpu]") {
  const WarmupConstantCooldown lr({.peak_lr = 1e-3, .warmup_steps = 2, .total_steps = 5});
  CHECK(lr(4) == 1e-3);
  CHECK(lr(50) == 1e-3);
}

TEST_CASE("Schedules that cannot be followed are refused with their numbers", "[schedule][cpu]") {
  CHECK_THROWS_WITH(WarmupCosine({.warmup_steps = 100, .total_steps = 100}),
                    Contains("warmup_steps (100)") && Contains("total_steps (100)"));
  CHECK_THROWS_WITH(WarmupCosine({.warmup_steps = -1, .total_steps = 100}), Contains("(-1)"));
  CHECK_THROWS_WITH(WarmupCosine({.peak_lr = std::nan(""), .total_steps = 2}), Contains("peak_lr"));
  CHECK_THROWS_WITH(WarmupCosine({.final_lr = -1e-5, .total_steps = 2}), Contains("final_lr"));
  CHECK_THROWS_WITH(WarmupConstant({.warmup_steps = -2}), Contains("(-2)"));
  CHECK_THROWS_WITH(
      WarmupConstantCooldown({.warmup_steps = 60, .cooldown_steps = 50, .total_steps = 100}),
      Contains("(60)") && Contains("(50)") && Contains("(100)"));
  CHECK_THROWS_WITH(WarmupConstantCooldown({.total_steps = 5, .power = 0.0}), Contains("power"));
}

TEST_CASE("The learning rate follows the batch size by the rule", "[schedule][cpu]") {
  using Rule = LearningRateScaling;
  CHECK(scale_learning_rate(1e-3, 256, 1024, Rule::kLinear) == Approx(4e-3).epsilon(1e-14));
  CHECK(scale_learning_rate(1e-3, 256, 1024, Rule::kSquareRoot) == Approx(2e-3).epsilon(1e-14));
  CHECK(scale_learning_rate(1e-3, 256, 64, Rule::kSquareRoot) == Approx(5e-4).epsilon(1e-14));
  CHECK(scale_learning_rate(1e-3, 256, 1024, Rule::kNone) == 1e-3);
  CHECK_THROWS_WITH(scale_learning_rate(1e-3, 0, 64, Rule::kLinear), Contains("base_batch (0)"));
}
