// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace contrapunto {

/// How a loader reads shards in long pieces instead of sample by sample, for disks and networks
/// that want this. It changes the order of the samples; see EpochOrder and
/// docs/guides/data.md.
///
/// A rank keeps the encoded samples of at most
/// 2 * lanes / ranks * pieces_together * piece_samples samples for each part of the source.
struct ReadAheadOptions {
  /// Consecutive samples of a shard that are read at once; 0: samples are read one by one. Choose
  /// pieces of 8 MiB or more: with images of 30 KB, 256 samples.
  std::int64_t piece_samples = 0;
  std::int64_t pieces_together = 8;  ///< Pieces of a lane whose samples are shuffled together.
  /// Lanes among which the pieces of an epoch are divided: a multiple of the number of ranks, now
  /// and when the run resumes. Each rank reads the pieces of its own lanes only.
  std::int64_t lanes = 8;

  [[nodiscard]] bool enabled() const { return piece_samples > 0; }
};

}  // namespace contrapunto
