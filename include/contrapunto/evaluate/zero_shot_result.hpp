// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "contrapunto/log/format.hpp"

namespace contrapunto {

/// Zero-shot accuracy over a data set.
struct ZeroShotResult {
  double top1 = 0.0;  ///< Fraction of images whose class ranks first, 0 to 1.
  double top5 = 0.0;  ///< Fraction whose class is among the first five; 1 with up to five classes.
  std::int64_t samples = 0;
};

/// Formats a result as "top-1 77.60 %, top-5 97.12 % of 10,000 images".
[[nodiscard]] inline std::string to_string(const ZeroShotResult& result) {
  return "top-1 " + as_percent(result.top1, 2) + ", top-5 " + as_percent(result.top5, 2) + " of " +
         with_commas(result.samples) + " images";
}

}  // namespace contrapunto
