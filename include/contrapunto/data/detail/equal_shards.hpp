// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "contrapunto/data/data_shard.hpp"

namespace contrapunto::detail {

/// Divides a source without shards of its own into shards of 10,000 samples, so that work on them
/// can be interrupted and shared. `checksum(begin, end)` is that of the samples in this range.
template <class Checksum>
[[nodiscard]] std::vector<DataShard> equal_shards(const std::string& name, std::int64_t samples,
                                                  const Checksum& checksum) {
  constexpr std::int64_t kSamples = 10'000;
  std::vector<DataShard> shards;
  for (std::int64_t begin = 0; begin < samples; begin += kSamples) {
    const std::int64_t end = std::min(begin + kSamples, samples);
    shards.push_back(
        {name + "-" + std::to_string(begin / kSamples), end - begin, checksum(begin, end)});
  }
  return shards;
}

}  // namespace contrapunto::detail
