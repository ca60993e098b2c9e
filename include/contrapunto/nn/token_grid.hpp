// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace contrapunto {

/// How the rows of a token matrix [batch * length(), width] are arranged. Sequence follows
/// sequence; each holds its prefix tokens (class token, registers) and then a plane of rows x
/// columns tokens in reading order. A text is one row. Images whose patches were partly dropped are
/// one row too: the remaining patches form no plane.
struct TokenGrid {
  std::int64_t batch = 1;
  std::int64_t rows = 1;
  std::int64_t columns = 1;
  std::int64_t prefix = 0;

  /// Tokens of one sequence.
  [[nodiscard]] std::int64_t length() const { return prefix + rows * columns; }
};

}  // namespace contrapunto
