// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/state.hpp"

namespace contrapunto {

/// The progress of a run, which is part of its checkpoints.
struct RunProgress {
  std::int64_t step = 0;     ///< Optimizer steps completed.
  std::int64_t samples = 0;  ///< Samples seen, over all ranks.

  /// Counts one optimizer step on `batch` samples over all ranks.
  void advance(std::int64_t batch) {
    ++step;
    samples += batch;
  }

  /// Saves and restores `step` and `samples`.
  [[nodiscard]] State save_state() const { return {{}, {{"step", step}, {"samples", samples}}}; }
  void load_state(const State& state) {
    step = state.scalar<std::int64_t>("step");
    samples = state.scalar<std::int64_t>("samples");
  }
};
static_assert(Stateful<RunProgress>);

}  // namespace contrapunto
