// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstdint>
#include <vector>

#include "contrapunto/core/run_progress.hpp"
#include "contrapunto/core/step_record.hpp"
#include "contrapunto/schedule/run_phase.hpp"

namespace contrapunto {

/// The reference values for spans of a run. A field that no span needs may be 0.
struct RunLength {
  std::int64_t dataset_samples = 0;  ///< Pairs in one pass over the data.
  std::int64_t batch_size = 0;       ///< Pairs per optimizer step, over all ranks.
  std::int64_t total_steps = 0;      ///< Optimizer steps of the whole run.
  /// Consecutive parts of the run with values of their own, from step 0 to total_steps; empty if
  /// the run has no parts. See with_phases(). `batch_size` is that of the last one.
  std::vector<RunPhase> phases = {};

  /// Number of full batches in one pass over the data. The remaining samples are not used in that
  /// pass. Raises if the data set does not fill one batch.
  [[nodiscard]] std::int64_t steps_per_epoch() const {
    TORCH_CHECK(dataset_samples > 0 && batch_size > 0,
                "RunLength: the length of an epoch is unknown; dataset_samples is ",
                dataset_samples, " and batch_size is ", batch_size, "; set both");
    TORCH_CHECK(dataset_samples >= batch_size, "RunLength: the data set (", dataset_samples,
                " samples) does not fill one batch (", batch_size, "); lower the batch size");
    return dataset_samples / batch_size;
  }

  /// Number of passes over the data after `steps` optimizer steps, which may be fractional.
  [[nodiscard]] double epochs_at(std::int64_t steps) const {
    if (phases.empty()) return static_cast<double>(steps) / static_cast<double>(steps_per_epoch());
    const auto phase = phase_at(steps);
    const double per_epoch = static_cast<double>(dataset_samples / phase.batch_size);
    return phase.first_epoch + static_cast<double>(steps - phase.first_step) / per_epoch;
  }

  /// The phase of optimizer step `step`, counted from 0; after the end, the last one. Without
  /// phases it is the whole run.
  [[nodiscard]] RunPhase phase_at(std::int64_t step) const {
    if (phases.empty()) return {.steps = total_steps, .batch_size = batch_size};
    return phase_of_step(phases, step);
  }

  /// The same run with the batch size of its first phase, for to_steps() of a warm-up.
  [[nodiscard]] RunLength at_start() const {
    return {dataset_samples, phase_at(0).batch_size, total_steps};
  }

  /// Samples that all steps of the run read.
  [[nodiscard]] std::int64_t total_samples() const {
    if (phases.empty()) return total_steps * batch_size;
    std::int64_t samples = 0;
    for (const RunPhase& phase : phases) samples += phase.steps * phase.batch_size;
    return samples;
  }

  /// Side of the images of the last phase, for evaluations; 0 without phases.
  [[nodiscard]] std::int64_t full_image_size() const {
    return phases.empty() ? 0 : phases.back().image_size;
  }

  /// Returns a record of the step of `progress`, with "samples" and "epoch".
  [[nodiscard]] StepRecord record(const RunProgress& progress) const {
    return {
        progress.step,
        {{"samples", static_cast<double>(progress.samples)}, {"epoch", epochs_at(progress.step)}}};
  }
};

}  // namespace contrapunto
