// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "contrapunto/log/data_times.hpp"

namespace contrapunto {

/// Statistics of a loader since its creation.
struct LoaderStatistics {
  std::int64_t samples = 0;  ///< Samples returned by next().
  std::int64_t batches = 0;
  std::int64_t skipped = 0;                ///< Samples that could not be used, each counted once.
  std::vector<std::string> first_skipped;  ///< The first 20, "source: key: reason".
  DataTimes times;                         ///< Where the time went.
};

}  // namespace contrapunto
