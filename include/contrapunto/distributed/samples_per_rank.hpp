// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstdint>

#include "contrapunto/distributed/ranks.hpp"

namespace contrapunto {

/// Samples of each rank in a batch of `batch_size` samples over all ranks. Raises when the batch
/// does not divide.
[[nodiscard]] inline std::int64_t samples_per_rank(std::int64_t batch_size, const Ranks& ranks) {
  TORCH_CHECK(batch_size > 0 && batch_size % ranks.size() == 0, "the batch size (", batch_size,
              ") must be a positive multiple of the number of ranks (", ranks.size(), ")");
  return batch_size / ranks.size();
}

}  // namespace contrapunto
