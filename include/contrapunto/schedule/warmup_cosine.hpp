// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/run_facts.hpp"
#include "contrapunto/schedule/detail/linear_warmup.hpp"

namespace contrapunto {

struct WarmupCosineOptions {
  double peak_lr = 5e-4;          ///< Rate reached at the end of warm-up.
  double final_lr = 0.0;          ///< Rate from `total_steps` on.
  std::int64_t warmup_steps = 0;  ///< Optimizer steps; below `total_steps`.
  std::int64_t total_steps = 1;   ///< Optimizer steps.
};

/// Linear warm-up, then half a cosine. It is a pure function of the step, so it has no state to
/// resume. Raises unless `warmup_steps` is below `total_steps`, and for invalid rates.
/// Reference: Loshchilov & Hutter 2016, https://arxiv.org/abs/1608.03983
class WarmupCosine {
 public:
  explicit WarmupCosine(WarmupCosineOptions options) : o_(options) {
    detail::check_rate(o_.peak_lr, "WarmupCosine", "peak_lr");
    detail::check_rate(o_.final_lr, "WarmupCosine", "final_lr");
    TORCH_CHECK(o_.warmup_steps >= 0 && o_.warmup_steps < o_.total_steps,
                "WarmupCosine: warmup_steps (", o_.warmup_steps,
                ") must be at least 0 and below total_steps (", o_.total_steps,
                "); otherwise the peak is never reached");
  }

  /// Learning rate for optimizer step `step`, counted from 0.
  [[nodiscard]] double operator()(std::int64_t step) const {
    detail::check_step(step, "WarmupCosine");
    if (step < o_.warmup_steps) return detail::linear_warmup(o_.peak_lr, o_.warmup_steps, step);
    const auto t = static_cast<double>(step - o_.warmup_steps) /
                   static_cast<double>(o_.total_steps - o_.warmup_steps);
    const double cosine = std::cos(std::numbers::pi * std::min(t, 1.0));
    return o_.final_lr + 0.5 * (o_.peak_lr - o_.final_lr) * (1 + cosine);
  }

  [[nodiscard]] const WarmupCosineOptions& options() const { return o_; }

  /// The properties of the schedule that a plan of the run uses.
  [[nodiscard]] ScheduleFacts facts() const {
    return {.name = "cosine",
            .peak_lr = o_.peak_lr,
            .warmup_steps = o_.warmup_steps,
            .total_steps = o_.total_steps};
  }

 private:
  WarmupCosineOptions o_;
};
static_assert(Schedule<WarmupCosine>);

}  // namespace contrapunto
