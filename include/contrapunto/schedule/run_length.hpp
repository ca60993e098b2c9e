// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstdint>

#include "contrapunto/core/run_progress.hpp"
#include "contrapunto/core/step_record.hpp"

namespace contrapunto {

/// The reference values for spans of a run. A field that no span needs may be 0.
struct RunLength {
  std::int64_t dataset_samples = 0;  ///< Pairs in one pass over the data.
  std::int64_t batch_size = 0;       ///< Pairs per optimizer step, over all ranks.
  std::int64_t total_steps = 0;      ///< Optimizer steps of the whole run.

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
    return static_cast<double>(steps) / static_cast<double>(steps_per_epoch());
  }

  /// Returns a record of the step of `progress`, with "samples" and "epoch".
  [[nodiscard]] StepRecord record(const RunProgress& progress) const {
    return {
        progress.step,
        {{"samples", static_cast<double>(progress.samples)}, {"epoch", epochs_at(progress.step)}}};
  }
};

}  // namespace contrapunto
