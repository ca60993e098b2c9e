// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "contrapunto/data/data_shard.hpp"

namespace contrapunto::detail {

/// Converts the index of a sample in its source to its shard and its place in the shard.
class ShardPlaces {
 public:
  ShardPlaces() = default;
  explicit ShardPlaces(const std::vector<DataShard>& shards) {
    std::int64_t end = 0;
    for (const auto& shard : shards) ends_.push_back(end += shard.samples);
  }

  /// Number of samples in all shards.
  [[nodiscard]] std::int64_t size() const { return ends_.empty() ? 0 : ends_.back(); }

  /// Returns the number of the shard and the place in it, for 0 <= index < size().
  [[nodiscard]] std::pair<std::size_t, std::int64_t> operator()(std::int64_t index) const {
    const auto shard = static_cast<std::size_t>(
        std::upper_bound(ends_.begin(), ends_.end(), index) - ends_.begin());
    return {shard, index - (shard == 0 ? 0 : ends_[shard - 1])};
  }

 private:
  std::vector<std::int64_t> ends_;  // Index after the last sample of each shard.
};

}  // namespace contrapunto::detail
