// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace contrapunto {

struct ZeroShotResult {
  double top1 = 0.0;  ///< Share of images whose class comes first, 0 to 1.
  double top5 = 0.0;  ///< Share whose class is among the first five; 1 with up to five classes.
  std::int64_t samples = 0;
};

}  // namespace contrapunto
