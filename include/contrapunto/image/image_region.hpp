// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "contrapunto/image/pixel_box.hpp"
#include "contrapunto/image/rgb_image.hpp"

namespace contrapunto {

/// What decoded pixels show: a part of an image, which may be reduced.
struct ImageRegion {
  std::int64_t width = 0;      ///< Of the whole image, in pixels.
  std::int64_t height = 0;     ///< Of the whole image, in pixels.
  std::int64_t left = 0;       ///< Column of the first pixel, in pixels of the reduced image.
  std::int64_t top = 0;        ///< Row of the first pixel, in pixels of the reduced image.
  std::int64_t reduction = 1;  ///< Pixels of the image for each pixel, on each side: 1, 2 or 4.

  /// The region of pixels that are a whole image.
  [[nodiscard]] static ImageRegion whole(const RgbImage& image) {
    return {image.width(), image.height()};
  }

  /// The box of the whole image.
  [[nodiscard]] PixelBox full_box() const { return {0, 0, width, height}; }
};

}  // namespace contrapunto
