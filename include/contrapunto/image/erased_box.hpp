// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

namespace contrapunto {

/// A rectangle whose pixels are erased. Its size and place are fractions, so that it fits squares
/// of every size; see image/erase_box.hpp.
struct ErasedBox {
  double width = 0.0;  ///< Fraction of the side of the square.
  double height = 0.0;
  double left = 0.0;  ///< Place among those inside the square: 0 is the first, and 1 is behind the
  double top = 0.0;   ///< last.
  std::array<double, 3> color = {0.0, 0.0, 0.0};  ///< In levels, which may be beyond 0 to 255.
  std::array<double, 3> noise = {0.0, 0.0, 0.0};  ///< Standard deviation of each pixel in levels.
  std::uint64_t noise_seed = 0;
};

}  // namespace contrapunto
