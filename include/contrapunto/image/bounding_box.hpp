// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#include "contrapunto/image/pixel_box.hpp"

namespace contrapunto {

/// Returns the smallest box that contains both boxes. A box without pixels counts as none.
[[nodiscard]] inline PixelBox bounding_box(const PixelBox& a, const PixelBox& b) {
  if (a.width <= 0 || a.height <= 0) return b;
  if (b.width <= 0 || b.height <= 0) return a;
  const std::int64_t left = std::min(a.left, b.left);
  const std::int64_t top = std::min(a.top, b.top);
  return {left, top, std::max(a.left + a.width, b.left + b.width) - left,
          std::max(a.top + a.height, b.top + b.height) - top};
}

}  // namespace contrapunto
