// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstdint>

namespace contrapunto {

/// What spans of a run are measured against. A field that no span needs may stay 0.
struct RunLength {
  std::int64_t dataset_samples = 0;  ///< Pairs in one pass over the data.
  std::int64_t batch_size = 0;       ///< Pairs per optimiser step, over all ranks.
  std::int64_t total_steps = 0;      ///< Optimiser steps of the whole run.

  /// Whole batches in one pass; the rest of the data is left for the next order. Raises when the
  /// data set does not fill one batch.
  [[nodiscard]] std::int64_t steps_per_epoch() const {
    TORCH_CHECK(dataset_samples > 0 && batch_size > 0,
                "RunLength: an epoch is unknown, dataset_samples is ", dataset_samples,
                " and batch_size ", batch_size, "; set both");
    TORCH_CHECK(dataset_samples >= batch_size, "RunLength: the data set (", dataset_samples,
                " samples) does not fill one batch (", batch_size, "); lower the batch size");
    return dataset_samples / batch_size;
  }

  /// Passes over the data after `steps` optimizer steps, fractional.
  [[nodiscard]] double epochs_at(std::int64_t steps) const {
    return static_cast<double>(steps) / static_cast<double>(steps_per_epoch());
  }
};

}  // namespace contrapunto
