// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

namespace contrapunto::detail {

/// Divides the time of a thread among several sums.
class LapTimer {
 public:
  /// Adds the seconds since the last call, or since the creation, to `sum`.
  void add_to(double& sum) {
    const auto now = Clock::now();
    sum += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point last_ = Clock::now();
};

}  // namespace contrapunto::detail
