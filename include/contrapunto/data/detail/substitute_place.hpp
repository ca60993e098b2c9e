// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>

namespace contrapunto::detail {

/// Returns the position at which an epoch of `size` samples makes attempt number `attempt` for the
/// sample at `place`. Attempt 0 is at `place` itself. `size` attempts visit all positions. The rule
/// depends on neither batches nor ranks, so an epoch has the same samples for any batch size and
/// number of ranks. Steps of the golden ratio keep the positions of the first attempts far apart:
/// the substitutes in a batch differ from each other and from its other samples unless the batch is
/// a large part of the epoch or many attempts in a row fail.
[[nodiscard]] inline std::int64_t substitute_place(std::int64_t place, std::int64_t attempt,
                                                   std::int64_t size) {
  if (attempt == 0) return place;
  auto step = std::max<std::int64_t>(
      static_cast<std::int64_t>(std::nearbyint(0.6180339887498949 * static_cast<double>(size))), 1);
  while (std::gcd(step, size) != 1) ++step;
  return (place + attempt % size * step) % size;
}

}  // namespace contrapunto::detail
