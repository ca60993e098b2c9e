// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <vector>

namespace contrapunto {

/// A part of a run with its own sizes and learning rate. A value of 0 means that the run has no
/// such value.
struct RunPhase {
  std::int64_t first_step = 0;
  std::int64_t steps = 0;
  std::int64_t batch_size = 0;   ///< Samples per optimizer step, over all ranks.
  std::int64_t image_size = 0;   ///< Side of the images in pixels.
  std::int64_t text_length = 0;  ///< Maximum number of tokens per text.
  double lr_factor = 1.0;        ///< Factor on the schedule of the run.
  double first_epoch = 0.0;      ///< Passes over the data before `first_step`.
};

/// The phase of optimizer step `step` in `phases`, which follow each other from step 0 on and are
/// not empty; after their end, the last one.
[[nodiscard]] inline const RunPhase& phase_of_step(const std::vector<RunPhase>& phases,
                                                   std::int64_t step) {
  const auto later = std::find_if(phases.begin(), phases.end(),
                                  [&](const RunPhase& p) { return p.first_step > step; });
  return *std::prev(later);
}

}  // namespace contrapunto
