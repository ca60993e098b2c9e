// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace contrapunto {

/// The layout of the rows of a token matrix [batch * length(), width]. Sequence follows sequence.
/// Each sequence consists of its prefix tokens (class token, registers) and then a plane of rows x
/// columns tokens in row-major order. A text is one row. Images with dropped patches are also one
/// row, because the remaining patches do not form a plane.
struct TokenGrid {
  std::int64_t batch = 1;
  std::int64_t rows = 1;
  std::int64_t columns = 1;
  std::int64_t prefix = 0;

  /// Number of tokens in a sequence.
  [[nodiscard]] std::int64_t length() const { return prefix + rows * columns; }
};

}  // namespace contrapunto
