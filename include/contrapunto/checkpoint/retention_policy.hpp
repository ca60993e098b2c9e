// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace contrapunto {

/// Which checkpoints are kept. A checkpoint is kept if at least one rule applies to it.
struct RetentionPolicy {
  std::int64_t last = 3;         ///< Number of newest checkpoints to keep, at least 1.
  std::int64_t best = 1;         ///< Number of best checkpoints to keep, by metric.
  std::int64_t every = 0;        ///< Keep steps that are multiples of this; 0: none.
  bool higher_is_better = true;  ///< Whether a higher metric is better, as for accuracy; false for
                                 ///< a loss.
};

}  // namespace contrapunto
