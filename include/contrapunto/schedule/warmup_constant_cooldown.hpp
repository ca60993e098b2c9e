// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/run_facts.hpp"
#include "contrapunto/schedule/detail/linear_warmup.hpp"

namespace contrapunto {

struct WarmupConstantCooldownOptions {
  double peak_lr = 5e-4;            ///< Rate between warm-up and cooldown.
  double final_lr = 0.0;            ///< Rate from `total_steps` on.
  std::int64_t warmup_steps = 0;    ///< Optimizer steps.
  std::int64_t cooldown_steps = 0;  ///< Optimizer steps at the end of the run; 0: no cooldown.
  std::int64_t total_steps = 1;     ///< Optimizer steps.
  double power = 1.0;               ///< 1 is linear; a larger power falls faster at first.
};

/// Linear warm-up, then the peak rate, then a polynomial from the peak to `final_lr` over the last
/// `cooldown_steps`. It is a pure function of the step, so a run can be extended by starting the
/// cooldown later. Raises for lengths that do not fit into `total_steps` and for invalid rates.
/// Reference: Zhai et al. 2021, https://arxiv.org/abs/2106.04560
class WarmupConstantCooldown {
 public:
  explicit WarmupConstantCooldown(WarmupConstantCooldownOptions options) : o_(options) {
    detail::check_rate(o_.peak_lr, "WarmupConstantCooldown", "peak_lr");
    detail::check_rate(o_.final_lr, "WarmupConstantCooldown", "final_lr");
    TORCH_CHECK(o_.warmup_steps >= 0 && o_.cooldown_steps >= 0 && o_.total_steps > 0 &&
                    o_.warmup_steps + o_.cooldown_steps <= o_.total_steps,
                "WarmupConstantCooldown: warmup_steps (", o_.warmup_steps, ") and cooldown_steps (",
                o_.cooldown_steps, ") must be at least 0 and fit into total_steps (",
                o_.total_steps, ")");
    TORCH_CHECK(std::isfinite(o_.power) && o_.power > 0.0, "WarmupConstantCooldown: power (",
                o_.power, ") must be above 0");
  }

  /// Learning rate for optimizer step `step`, counted from 0.
  [[nodiscard]] double operator()(std::int64_t step) const {
    detail::check_step(step, "WarmupConstantCooldown");
    if (step < o_.warmup_steps) return detail::linear_warmup(o_.peak_lr, o_.warmup_steps, step);
    const auto start = o_.total_steps - o_.cooldown_steps;
    if (step < start || o_.cooldown_steps == 0) return o_.peak_lr;
    const auto t = static_cast<double>(step - start) / static_cast<double>(o_.cooldown_steps);
    const double decay = std::pow(1.0 - std::min(t, 1.0), o_.power);
    return decay * (o_.peak_lr - o_.final_lr) + o_.final_lr;
  }

  [[nodiscard]] const WarmupConstantCooldownOptions& options() const { return o_; }

  /// The properties of the schedule that a plan of the run uses.
  [[nodiscard]] ScheduleFacts facts() const {
    return {.name = "cooldown",
            .peak_lr = o_.peak_lr,
            .warmup_steps = o_.warmup_steps,
            .cooldown_steps = o_.cooldown_steps,
            .total_steps = o_.total_steps};
  }

 private:
  WarmupConstantCooldownOptions o_;
};
static_assert(Schedule<WarmupConstantCooldown>);

}  // namespace contrapunto
