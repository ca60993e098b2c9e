// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

namespace contrapunto {

/// When a RankWatchdog takes another rank for dead or stuck. All ranks need the same values.
struct RankWatchdogOptions {
  std::chrono::milliseconds interval = std::chrono::seconds(1);  ///< Between two signs of life.
  /// A rank that is silent for longer is taken for dead; at least 3 intervals.
  std::chrono::milliseconds timeout = std::chrono::seconds(20);
  /// A rank that is alive but has been behind the others for longer, without calling progress(), is
  /// taken for stuck; 0 means never.
  std::chrono::milliseconds stall_timeout = std::chrono::minutes(10);
};

}  // namespace contrapunto
