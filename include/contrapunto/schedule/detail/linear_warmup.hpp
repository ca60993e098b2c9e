// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cmath>
#include <cstdint>
#include <string_view>

namespace contrapunto::detail {

/// Returns (step + 1) / warmup_steps of `peak_lr`: the first step has a rate above 0, and the last
/// step has the peak rate.
[[nodiscard]] inline double linear_warmup(double peak_lr, std::int64_t warmup_steps,
                                          std::int64_t step) {
  return peak_lr * static_cast<double>(step + 1) / static_cast<double>(warmup_steps);
}

inline void check_rate(double rate, std::string_view schedule, std::string_view name) {
  TORCH_CHECK(std::isfinite(rate) && rate >= 0.0, schedule, ": ", name, " (", rate,
              ") must be a learning rate of at least 0");
}

inline void check_step(std::int64_t step, std::string_view schedule) {
  TORCH_CHECK(step >= 0, schedule, ": steps count from 0, got ", step);
}

}  // namespace contrapunto::detail
