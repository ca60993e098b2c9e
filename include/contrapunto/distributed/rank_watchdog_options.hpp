// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

namespace contrapunto {

/// When a RankWatchdog considers another rank dead or stuck. All ranks need the same values.
struct RankWatchdogOptions {
  std::chrono::milliseconds interval = std::chrono::seconds(1);  ///< Time between two heartbeats.
  /// A rank without a heartbeat for longer than this is considered dead; at least 3 intervals.
  std::chrono::milliseconds timeout = std::chrono::seconds(20);
  /// A rank that is alive but has been behind the others for longer than this without calling
  /// progress() is considered stuck; 0 disables the check.
  std::chrono::milliseconds stall_timeout = std::chrono::minutes(10);
};

}  // namespace contrapunto
