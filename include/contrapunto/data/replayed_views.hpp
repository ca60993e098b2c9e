// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "contrapunto/core/random.hpp"
#include "contrapunto/data/data_shard.hpp"

namespace contrapunto {

/// A fixed set of views of each image instead of new ones in every epoch, so that what a teacher
/// says about them can be computed once. View k of a sample is a pure function of `seed`, the
/// sample's shard, its place there, and k.
struct ReplayedViews {
  std::int64_t views = 0;  ///< Views per image; 0: each epoch draws new ones.
  std::uint64_t seed = 0;  ///< Seed of crops, flips and colors; not that of the run.
  bool operator==(const ReplayedViews&) const = default;

  /// Returns the random numbers for the transform of view `view`, 0 <= view < views, of the sample
  /// at `place` in `shard`.
  [[nodiscard]] RandomStream stream(const DataShard& shard, std::int64_t place,
                                    std::int64_t view) const {
    const auto half = [](std::uint64_t word, int shift) {
      return static_cast<std::uint32_t>(word >> shift);
    };
    // The last word separates these numbers from those of a RandomStream with the same seed.
    const auto key = philox({half(shard.checksum, 0), half(shard.checksum, 32), 0, 0xFFFFFFFE},
                            {half(seed, 0), half(seed, 32)});
    return RandomStream((std::uint64_t{key[0]} << 32) | key[1], static_cast<std::uint64_t>(view),
                        static_cast<std::uint64_t>(place));
  }

  /// Returns the view of sample `index` that epoch `epoch` of a run with seed `run_seed` uses. Each
  /// sample starts at a random one, and any `views` epochs in a row use each view once.
  [[nodiscard]] std::int64_t view_in(std::uint64_t run_seed, std::int64_t epoch,
                                     std::int64_t index) const {
    constexpr std::uint64_t kStreams = std::uint64_t{3} << 61;  // No other stream of a loader.
    RandomStream random(run_seed, 0, static_cast<std::uint64_t>(index) + kStreams);
    return (random.integer(views) + epoch) % views;
  }
};

}  // namespace contrapunto
