// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace contrapunto {

/// A group of consecutive samples of a source. Its identity depends neither on the other shards nor
/// on where the data lies, so that what is stored for a shard is found again from a part of the
/// data and after a move.
struct DataShard {
  std::string name = {};  ///< File name without folders, or a name within the source.
  std::int64_t samples = 0;
  std::uint64_t checksum = 0;  ///< Of what can be known without decoding the samples, such as their
                               ///< keys and the sizes of their members.
};

}  // namespace contrapunto
