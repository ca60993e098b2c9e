// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cmath>
#include <cstdint>

namespace contrapunto {

/// How the learning rate depends on the batch size.
enum class LearningRateScaling {
  kNone,        ///< The same rate for every batch size.
  kLinear,      ///< The rate times batch / base batch.
  kSquareRoot,  ///< The rate times the square root of batch / base batch, which is usual for Adam.
};

/// Returns the rate for batches of `batch` pairs, given the rate `base_lr` that suits batches of
/// `base_batch`. Raises unless both batch sizes are above 0.
/// References: Goyal et al. 2017, https://arxiv.org/abs/1706.02677 (linear); Malladi et al. 2022,
/// https://arxiv.org/abs/2205.10287 (square root)
[[nodiscard]] inline double scale_learning_rate(double base_lr, std::int64_t base_batch,
                                                std::int64_t batch, LearningRateScaling scaling) {
  TORCH_CHECK(base_batch > 0 && batch > 0, "scale_learning_rate: base_batch (", base_batch,
              ") and batch (", batch, ") must be above 0");
  const double ratio = static_cast<double>(batch) / static_cast<double>(base_batch);
  switch (scaling) {
    case LearningRateScaling::kLinear:
      return base_lr * ratio;
    case LearningRateScaling::kSquareRoot:
      return base_lr * std::sqrt(ratio);
    case LearningRateScaling::kNone:
      break;
  }
  return base_lr;
}

}  // namespace contrapunto
