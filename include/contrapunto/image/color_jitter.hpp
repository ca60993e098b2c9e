// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#include "contrapunto/image/rgb_image.hpp"
#include "contrapunto/kernels/detail/color_pixels.hpp"

/// Color changes of uint8 pixels, with PIL's formulas and rounding.
namespace contrapunto {
namespace detail {

template <class OfPixel>
void for_each_pixel(RgbImage& image, OfPixel of_pixel) {
  for (std::uint8_t *p = image.data(), *end = p + image.bytes(); p != end; p += 3) of_pixel(p);
}

}  // namespace detail

/// Blends with black: 0 gives black, 1 the image, and above 1 a brighter image.
inline void adjust_brightness(RgbImage& image, double factor) {
  detail::for_each_pixel(image, [&](std::uint8_t* p) {
    for (int c = 0; c < 3; ++c) p[c] = detail::blend(0, p[c], static_cast<float>(factor));
  });
}

/// Blends with the mean luma of the image: 0 gives plain gray, and 1 the image.
inline void adjust_contrast(RgbImage& image, double factor) {
  std::uint64_t sum = 0;
  detail::for_each_pixel(image, [&](const std::uint8_t* p) { sum += detail::luma(p); });
  const int mean = detail::mean_luma(sum, image.width() * image.height());
  detail::for_each_pixel(image, [&](std::uint8_t* p) {
    for (int c = 0; c < 3; ++c) p[c] = detail::blend(mean, p[c], static_cast<float>(factor));
  });
}

/// Blends with the luma of each pixel: 0 gives a gray image, and 1 the image.
inline void adjust_saturation(RgbImage& image, double factor) {
  detail::for_each_pixel(image, [&](std::uint8_t* p) {
    const int gray = detail::luma(p);
    for (int c = 0; c < 3; ++c) p[c] = detail::blend(gray, p[c], static_cast<float>(factor));
  });
}

/// Rotates the hue by `turn` of the full circle, -0.5 to 0.5, in 8-bit HSV as PIL does.
inline void adjust_hue(RgbImage& image, double turn) {
  const std::uint8_t step = detail::hue_step(turn);
  detail::for_each_pixel(image, [&](std::uint8_t* p) { detail::rotate_hue(p, step); });
}

/// Sets every channel to the luma.
inline void to_grayscale(RgbImage& image) {
  detail::for_each_pixel(image, [](std::uint8_t* p) { std::fill_n(p, 3, detail::luma(p)); });
}

}  // namespace contrapunto
