// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "contrapunto/image/color_jitter.hpp"
#include "contrapunto/image/rgb_image.hpp"

namespace contrapunto {

/// Blends with a smoothed image, with PIL's formulas and rounding: 0 gives the smoothed image, 1
/// the image, and above 1 a sharper one. The smoothing weighs a pixel with 5/13 and each of its
/// eight neighbors with 1/13. The pixels at the border stay as they are.
inline void adjust_sharpness(RgbImage& image, double factor) {
  const std::int64_t stride = image.width() * 3;
  const std::vector<std::uint8_t> source(image.data(), image.data() + image.bytes());
  for (std::int64_t y = 1; y + 1 < image.height(); ++y)
    for (std::int64_t x = 3; x + 3 < stride; ++x) {
      const std::uint8_t* at = source.data() + y * stride + x;
      int sum = 4 * at[0];
      for (std::int64_t row = -1; row <= 1; ++row)
        for (std::int64_t column = -1; column <= 1; ++column) sum += at[row * stride + column * 3];
      const int smooth = (2 * sum + 13) / 26;  // sum / 13, rounded
      image.row(y)[x] = detail::blend(smooth, at[0], static_cast<float>(factor));
    }
}

}  // namespace contrapunto
