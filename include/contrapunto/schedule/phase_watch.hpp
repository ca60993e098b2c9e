// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "contrapunto/schedule/run_length.hpp"
#include "contrapunto/schedule/run_phase.hpp"

namespace contrapunto {

/// Calls a function before the first step of each phase of a run, and before the first step after a
/// resume. Without phases it never calls it.
class PhaseWatch {
 public:
  PhaseWatch(RunLength run, std::function<void(const RunPhase&)> enter)
      : run_(std::move(run)), enter_(std::move(enter)) {}

  /// Returns the phase of step `step`, after the call if it is another one than before.
  RunPhase operator()(std::int64_t step) {
    const RunPhase phase = run_.phase_at(step);
    if (!run_.phases.empty() && std::exchange(entered_, phase.first_step) != phase.first_step)
      enter_(phase);
    return phase;
  }

 private:
  RunLength run_;
  std::function<void(const RunPhase&)> enter_;
  std::int64_t entered_ = -1;
};

}  // namespace contrapunto
