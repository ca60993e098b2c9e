// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace contrapunto {

/// Which checkpoints stay; one stays when any of the rules wants it.
struct RetentionPolicy {
  std::int64_t last = 3;         ///< The newest this many, at least 1.
  std::int64_t best = 1;         ///< The best this many by metric, among those that have one.
  std::int64_t every = 0;        ///< Steps that are multiples of this, forever; 0 for none.
  bool higher_is_better = true;  ///< How metrics compare: accuracy, or loss when false.
};

}  // namespace contrapunto
