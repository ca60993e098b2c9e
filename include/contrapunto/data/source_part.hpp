// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace contrapunto {

/// Consecutive shards of a source that have a share of their own in the samples of an epoch.
struct SourcePart {
  std::string name = {};    ///< For messages.
  std::int64_t shards = 0;  ///< Number of entries of SampleSource::shard_sizes().
  double share = 0.0;       ///< Up to a common factor.
};

}  // namespace contrapunto
