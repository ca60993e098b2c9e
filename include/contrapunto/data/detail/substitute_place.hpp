// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>

namespace contrapunto::detail {

/// Where an epoch of `size` samples looks for attempt number `attempt` at the sample of `place`,
/// the first attempt (0) being at `place` itself. All places are tried in `size` attempts. The rule
/// knows neither batches nor ranks, so an epoch holds the same samples however it is cut. Steps of
/// the golden ratio keep the places of few attempts far apart: substitutes of one batch meet
/// neither each other nor its other samples unless the batch is a large part of the epoch or many
/// attempts in a row fail.
[[nodiscard]] inline std::int64_t substitute_place(std::int64_t place, std::int64_t attempt,
                                                   std::int64_t size) {
  if (attempt == 0) return place;
  auto step = std::max<std::int64_t>(
      static_cast<std::int64_t>(std::nearbyint(0.6180339887498949 * static_cast<double>(size))), 1);
  while (std::gcd(step, size) != 1) ++step;
  return (place + attempt % size * step) % size;
}

}  // namespace contrapunto::detail
