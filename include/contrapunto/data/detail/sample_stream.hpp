// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "contrapunto/core/random.hpp"
#include "contrapunto/data/detail/sample_order.hpp"

namespace contrapunto::detail {

/// Returns the random numbers of one view of a sample in a pass. The first view draws the same ones
/// whatever the number of views is.
[[nodiscard]] inline RandomStream sample_stream(std::uint64_t seed, const SampleOrder::Visit& visit,
                                                std::int64_t view) {
  // Separates these numbers from those of EpochOrder.
  constexpr std::uint64_t kSamples = std::uint64_t{1} << 62;
  // More than any source has samples.
  constexpr std::uint64_t kViews = std::uint64_t{1} << 48;
  return RandomStream(seed, static_cast<std::uint64_t>(visit.pass),
                      static_cast<std::uint64_t>(visit.index) +
                          static_cast<std::uint64_t>(view) * kViews + kSamples);
}

}  // namespace contrapunto::detail
