// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/core/random.hpp"

namespace contrapunto::test {

struct Counts {
  int accepted = 0;
  int refused = 0;
};

/// Calls `reader` with `bytes`, each of its beginnings, and `flips` copies with 1 to 4 bits
/// changed.
inline Counts damage(const std::string& bytes, int flips,
                     const std::function<void(const std::string&)>& reader) {
  Counts counts;
  const auto attempt = [&](const std::string& damaged) {
    try {
      // A copy of exactly its size on the heap, so that reading past its end is detected.
      reader(std::string(damaged.begin(), damaged.end()));
      ++counts.accepted;
    } catch (const DataError&) {
      ++counts.refused;
    }
  };
  for (std::size_t length = 0; length <= bytes.size(); ++length) attempt(bytes.substr(0, length));
  RandomStream random(42, 0, bytes.size());
  for (int i = 0; i < flips; ++i) {
    std::string damaged = bytes;
    for (std::int64_t n = 1 + random.integer(4); n > 0; --n) {
      // Half of the hits go to the first bytes, where the headers are.
      const auto range = static_cast<std::int64_t>(bytes.size());
      const auto at = random.integer(i % 2 ? range : std::min<std::int64_t>(range, 160));
      damaged[static_cast<std::size_t>(at)] ^= static_cast<char>(1 << random.integer(8));
    }
    attempt(damaged);
  }
  return counts;
}

}  // namespace contrapunto::test
