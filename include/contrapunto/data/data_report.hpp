// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "contrapunto/data/detail/printable.hpp"

namespace contrapunto {

/// What was left out and why. Everything is counted, and the first entries are listed.
struct DataReport {
  static constexpr std::size_t kNamed = 20;  ///< Number of entries that `first` keeps.

  std::int64_t skipped = 0;
  /// "file or key: reason" in the order in which they were found. Control bytes are escaped.
  std::vector<std::string> first;

  /// Counts `line` and keeps it, with control bytes escaped, if it is among the first kNamed.
  void add(std::string_view line) {
    ++skipped;
    if (first.size() < kNamed) first.push_back(detail::printable(line));
  }

  /// Adds everything that `other` has counted.
  void add(const DataReport& other) {
    for (const auto& line : other.first) add(line);
    skipped += other.skipped - static_cast<std::int64_t>(other.first.size());
  }
};

}  // namespace contrapunto
