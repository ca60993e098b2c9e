// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

namespace contrapunto {

/// How a step strategy has gradients summed over ranks, whatever does it. Empty where there is one
/// rank; then neither is called. Usable while the object it came from lives.
struct GradientSyncHandle {
  std::function<void()> arm;     ///< Call before the last backward of a step.
  std::function<void()> finish;  ///< Call after it; gradients are then those of all ranks.

  explicit operator bool() const { return arm && finish; }
};

}  // namespace contrapunto
