// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/schedule/learning_rate_schedule.hpp"

#include <cmath>

#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

TEST_CASE("A schedule that is chosen by name equals the schedule of that name", "[schedule][cpu]") {
  const auto chosen = [](const char* kind) {
    return LearningRateSchedule({.kind = kind,
                                 .peak_lr = 1e-3,
                                 .final_lr = 1e-5,
                                 .warmup_steps = 10,
                                 .cooldown_steps = 20,
                                 .total_steps = 100});
  };
  const WarmupCosine cosine(
      {.peak_lr = 1e-3, .final_lr = 1e-5, .warmup_steps = 10, .total_steps = 100});
  const WarmupConstant constant({.peak_lr = 1e-3, .warmup_steps = 10});
  const WarmupConstantCooldown cooldown({.peak_lr = 1e-3,
                                         .final_lr = 1e-5,
                                         .warmup_steps = 10,
                                         .cooldown_steps = 20,
                                         .total_steps = 100});
  for (std::int64_t step = 0; step < 120; ++step) {
    CHECK(chosen("cosine")(step) == cosine(step));
    CHECK(chosen("constant")(step) == constant(step));
    CHECK(chosen("cooldown")(step) == cooldown(step));
  }
}

TEST_CASE("A schedule accepts lengths that do not fit, which the plan refuses", "[schedule][cpu]") {
  for (const auto* kind : {"cosine", "constant", "cooldown"}) {
    const LearningRateSchedule all_warmup(
        {.kind = kind, .peak_lr = 1.0, .warmup_steps = 8, .cooldown_steps = 4, .total_steps = 4});
    for (std::int64_t step = 0; step < 4; ++step)
      CHECK(all_warmup(step) == static_cast<double>(step + 1) / 8);
    CHECK(all_warmup.facts().warmup_steps == 8);
    CHECK(all_warmup.facts().total_steps == 4);
  }
  const LearningRateSchedule long_cooldown({.kind = "cooldown",
                                            .peak_lr = 1.0,
                                            .warmup_steps = 2,
                                            .cooldown_steps = 10,
                                            .total_steps = 10});
  CHECK(long_cooldown(1) == 1.0);
  CHECK(long_cooldown(2) == 1.0);
  CHECK(long_cooldown(6) == 0.5);
  CHECK(long_cooldown.facts().cooldown_steps == 10);
}

TEST_CASE("Schedules report the options that they were made with", "[schedule][cpu]") {
  const auto facts =
      LearningRateSchedule({.peak_lr = 2e-3, .warmup_steps = 5, .total_steps = 50}).facts();
  CHECK(facts.name == "cosine");
  CHECK(facts.peak_lr == 2e-3);
  CHECK(facts.warmup_steps == 5);
  CHECK(facts.cooldown_steps == 0);
  CHECK(facts.total_steps == 50);
  CHECK(WarmupCosine({.warmup_steps = 3, .total_steps = 9}).facts().total_steps == 9);
  CHECK_FALSE(WarmupConstant({.warmup_steps = 3}).facts().total_steps);  // it never ends
  CHECK(WarmupConstantCooldown({.cooldown_steps = 4, .total_steps = 9}).facts().cooldown_steps ==
        4);
}

TEST_CASE("An unknown kind of schedule is refused, and the known kinds are listed",
          "[schedule][cpu]") {
  CHECK_THROWS_WITH(LearningRateSchedule({.kind = "linear"}),
                    Contains("linear") && Contains("cosine, constant, cooldown"));
  CHECK_THROWS_WITH(LearningRateSchedule({.peak_lr = std::nan("")}), Contains("peak_lr"));
  CHECK_THROWS_WITH(LearningRateSchedule({.kind = "cooldown", .cooldown_steps = -1}),
                    Contains("cooldown_steps (-1)"));
}
