// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

namespace contrapunto {

/// Samples in a batch from which a mean of squared gradients should be short.
inline constexpr std::int64_t kLargeBatch = 16'384;

/// Returns the decay of the mean of squared gradients for batches of `batch_size` samples: `usual`
/// below kLargeBatch, and at most 0.95 from there on. Gradients of large batches change between
/// steps by more than their noise, and a mean that is too old then makes the loss spike.
/// Reference: Zhai et al. 2023, https://arxiv.org/abs/2303.15343
[[nodiscard]] constexpr double beta2_for_batch(std::int64_t batch_size, double usual) {
  return batch_size < kLargeBatch ? usual : std::min(usual, 0.95);
}

}  // namespace contrapunto
