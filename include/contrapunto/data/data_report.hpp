// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace contrapunto {

/// What was left out and why: all of it counted, the first few named.
struct DataReport {
  static constexpr std::size_t kNamed = 20;  ///< Entries that `first` keeps.

  std::int64_t skipped = 0;
  std::vector<std::string> first;  ///< "file or key: reason", in the order of finding.

  void add(std::string line) {
    ++skipped;
    if (first.size() < kNamed) first.push_back(std::move(line));
  }
};

}  // namespace contrapunto
