// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstdint>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/run_facts.hpp"
#include "contrapunto/schedule/detail/linear_warmup.hpp"

namespace contrapunto {

struct WarmupConstantOptions {
  double peak_lr = 5e-4;          ///< Rate that is reached at the end of warm-up and then kept.
  std::int64_t warmup_steps = 0;  ///< Optimizer steps.
};

/// Linear warm-up, then a constant rate. It is a pure function of the step.
class WarmupConstant {
 public:
  explicit WarmupConstant(WarmupConstantOptions options) : o_(options) {
    detail::check_rate(o_.peak_lr, "WarmupConstant", "peak_lr");
    TORCH_CHECK(o_.warmup_steps >= 0, "WarmupConstant: warmup_steps (", o_.warmup_steps,
                ") must be at least 0");
  }

  /// Learning rate for optimizer step `step`, counted from 0.
  [[nodiscard]] double operator()(std::int64_t step) const {
    detail::check_step(step, "WarmupConstant");
    return step < o_.warmup_steps ? detail::linear_warmup(o_.peak_lr, o_.warmup_steps, step)
                                  : o_.peak_lr;
  }

  [[nodiscard]] const WarmupConstantOptions& options() const { return o_; }

  /// The properties of the schedule that a plan of the run uses.
  [[nodiscard]] ScheduleFacts facts() const {
    return {.name = "constant", .peak_lr = o_.peak_lr, .warmup_steps = o_.warmup_steps};
  }

 private:
  WarmupConstantOptions o_;
};
static_assert(Schedule<WarmupConstant>);

}  // namespace contrapunto
