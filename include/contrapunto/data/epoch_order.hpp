// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "contrapunto/core/random.hpp"

namespace contrapunto {

/// The order in which an epoch visits the samples: a pure function of (shard sizes, seed, epoch,
/// window), evaluated one position at a time. Shards are shuffled and divided into windows of
/// several shards, and the samples within a window are shuffled. Every sample occurs once, and only
/// the shards of one window are read at the same time.
class EpochOrder {
 public:
  /// Keeps the original order if `shuffle` is false. `window` is a number of shards; 0 means all.
  /// Raises for a negative window.
  EpochOrder(const std::vector<std::int64_t>& shard_sizes, bool shuffle, std::int64_t window,
             std::uint64_t seed, std::int64_t epoch) {
    const auto shards = static_cast<std::int64_t>(shard_sizes.size());
    TORCH_CHECK(window >= 0, "EpochOrder: window (", window, ") must not be negative");
    if (window == 0 || !shuffle) window = std::max<std::int64_t>(shards, 1);
    std::vector<std::int64_t> first_sample(shard_sizes.size());
    for (std::size_t i = 1; i < shard_sizes.size(); ++i)
      first_sample[i] = first_sample[i - 1] + shard_sizes[i - 1];

    const auto era = static_cast<std::uint64_t>(epoch);
    const Permutation shard_order(shards, seed, era, 0);
    for (std::int64_t i = 0; i < shards; ++i) {
      if (i % window == 0) window_begin_.push_back(size_);
      const auto shard = static_cast<std::size_t>(shuffle ? shard_order(i) : i);
      shard_begin_.push_back(size_);
      shard_first_sample_.push_back(first_sample[shard]);
      size_ += shard_sizes[shard];
    }
    for (std::size_t w = 0; shuffle && w < window_begin_.size(); ++w) {
      const std::int64_t end = w + 1 < window_begin_.size() ? window_begin_[w + 1] : size_;
      windows_.emplace_back(end - window_begin_[w], seed, era, w + 1);
    }
  }

  /// Number of samples in an epoch.
  [[nodiscard]] std::int64_t size() const { return size_; }

  /// Returns the sample at position `place`, 0 <= place < size().
  [[nodiscard]] std::int64_t operator()(std::int64_t place) const {
    if (!windows_.empty()) {
      const std::size_t w = last_at_most(window_begin_, place);
      place = window_begin_[w] + windows_[w](place - window_begin_[w]);
    }
    const std::size_t shard = last_at_most(shard_begin_, place);
    return shard_first_sample_[shard] + place - shard_begin_[shard];
  }

 private:
  /// Returns the index of the last value <= `wanted` in the ascending `values`, whose first value
  /// is 0.
  static std::size_t last_at_most(const std::vector<std::int64_t>& values, std::int64_t wanted) {
    const auto after = std::upper_bound(values.begin(), values.end(), wanted);
    return static_cast<std::size_t>(after - values.begin()) - 1;
  }

  std::int64_t size_ = 0;
  std::vector<std::int64_t> window_begin_;
  std::vector<Permutation> windows_;
  std::vector<std::int64_t> shard_begin_;         // Positions, in the shuffled order of shards.
  std::vector<std::int64_t> shard_first_sample_;  // Index of the sample at that position.
};

}  // namespace contrapunto
