// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/run_facts.hpp"
#include "contrapunto/schedule/run_phase.hpp"
#include "contrapunto/schedule/warmup_constant.hpp"
#include "contrapunto/schedule/warmup_constant_cooldown.hpp"
#include "contrapunto/schedule/warmup_cosine.hpp"

namespace contrapunto {

struct LearningRateScheduleOptions {
  std::string kind = "cosine";        ///< "cosine", "constant" or "cooldown"; see the class.
  double peak_lr = 5e-4;              ///< Rate at the end of the warm-up.
  double final_lr = 0.0;              ///< Rate at the end of a cosine or a cooldown.
  std::int64_t warmup_steps = 0;      ///< Optimizer steps.
  std::int64_t cooldown_steps = 0;    ///< Optimizer steps; used by "cooldown" only.
  std::int64_t total_steps = 1;       ///< Optimizer steps of the whole run.
  std::vector<RunPhase> phases = {};  ///< Of the run, whose `lr_factor` multiplies the rate.
};

/// A schedule that is selected by name: WarmupCosine, WarmupConstant or WarmupConstantCooldown. It
/// is a pure function of the step.
///
/// The constructor does not check whether the lengths are consistent; a RunPlan does. If the
/// warm-up is as long as the run, there is nothing else, and a cooldown starts after the warm-up at
/// the earliest. Raises for an unknown kind, for a negative length and for an invalid rate.
class LearningRateSchedule {
 public:
  explicit LearningRateSchedule(LearningRateScheduleOptions options)
      : o_(std::move(options)), schedule_(make(o_)) {}

  /// Learning rate for optimizer step `step`, counted from 0.
  [[nodiscard]] double operator()(std::int64_t step) const {
    const double factor = o_.phases.empty() ? 1.0 : phase_of_step(o_.phases, step).lr_factor;
    return factor * std::visit([&](const auto& schedule) { return schedule(step); }, schedule_);
  }

  /// The requested values, for a plan of the run; the peak without the factors of phases.
  [[nodiscard]] ScheduleFacts facts() const {
    // After the warm-up the rate falls within each phase.
    double highest = 0.0;
    for (const RunPhase& phase : o_.phases)
      for (const auto step : {phase.first_step, o_.warmup_steps - 1})
        if (step >= 0 && step < o_.total_steps) highest = std::max(highest, (*this)(step));
    return {.name = o_.kind,
            .peak_lr = o_.peak_lr,
            .highest_lr = highest,
            .warmup_steps = o_.warmup_steps,
            .cooldown_steps = o_.kind == "cooldown" ? o_.cooldown_steps : 0,
            .total_steps = o_.total_steps};
  }

  [[nodiscard]] const LearningRateScheduleOptions& options() const { return o_; }

 private:
  using Any = std::variant<WarmupCosine, WarmupConstant, WarmupConstantCooldown>;

  static Any make(const LearningRateScheduleOptions& o) {
    TORCH_CHECK(o.kind == "cosine" || o.kind == "constant" || o.kind == "cooldown",
                "LearningRateSchedule: there is no kind \"", o.kind,
                "\"; choose one of cosine, constant, cooldown");
    TORCH_CHECK(o.cooldown_steps >= 0, "LearningRateSchedule: cooldown_steps (", o.cooldown_steps,
                ") must be at least 0");
    if (o.kind == "constant" || o.warmup_steps >= o.total_steps)
      return WarmupConstant({.peak_lr = o.peak_lr, .warmup_steps = o.warmup_steps});
    if (o.kind == "cosine")
      return WarmupCosine({.peak_lr = o.peak_lr,
                           .final_lr = o.final_lr,
                           .warmup_steps = o.warmup_steps,
                           .total_steps = o.total_steps});
    return WarmupConstantCooldown(
        {.peak_lr = o.peak_lr,
         .final_lr = o.final_lr,
         .warmup_steps = o.warmup_steps,
         .cooldown_steps = std::min(o.cooldown_steps, o.total_steps - o.warmup_steps),
         .total_steps = o.total_steps});
  }

  LearningRateScheduleOptions o_;
  Any schedule_;
};
static_assert(Schedule<LearningRateSchedule>);

}  // namespace contrapunto
