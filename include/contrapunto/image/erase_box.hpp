// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "contrapunto/core/random.hpp"
#include "contrapunto/image/erased_box.hpp"
#include "contrapunto/image/pixel_box.hpp"
#include "contrapunto/image/rgb_image.hpp"
#include "contrapunto/kernels/detail/color_pixels.hpp"

namespace contrapunto {

/// Returns the pixels of `box` in a square of `size` pixels. A side is rounded, and is at most
/// `size` - 1 pixels.
[[nodiscard]] inline PixelBox pixels_of(const ErasedBox& box, std::int64_t size) {
  const auto side = [&](double fraction) {
    const auto rounded =
        static_cast<std::int64_t>(std::nearbyint(fraction * static_cast<double>(size)));
    return std::min(rounded, size - 1);
  };
  const auto first = [&](double place, std::int64_t length) {
    const std::int64_t places = size - length + 1;
    const auto at = static_cast<std::int64_t>(place * static_cast<double>(places));
    return std::min(at, places - 1);
  };
  const std::int64_t width = side(box.width);
  const std::int64_t height = side(box.height);
  return {first(box.left, width), first(box.top, height), width, height};
}

/// Fills the box with its color and noise, rounded and limited to 0 ... 255. The noise of a pixel
/// is a pure function of the seed and of the pixel's place in the box.
inline void erase_box(RgbImage& square, const ErasedBox& box) {
  const PixelBox pixels = pixels_of(box, square.width());
  const bool is_noisy =
      std::any_of(box.noise.begin(), box.noise.end(), [](double noise) { return noise > 0.0; });
  RandomStream random(box.noise_seed);
  for (std::int64_t y = pixels.top; y < pixels.top + pixels.height; ++y) {
    std::uint8_t* out = square.row(y) + pixels.left * 3;
    for (std::int64_t x = 0; x < pixels.width; ++x)
      for (std::size_t c = 0; c < 3; ++c, ++out)
        *out = detail::noisy_level(box.color[c], box.noise[c], is_noisy ? random.normal() : 0.0);
  }
}

}  // namespace contrapunto
