// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "contrapunto/image/rgb_image.hpp"

/// Color changes of uint8 pixels, with PIL's formulas and rounding.
namespace contrapunto {
namespace detail {

/// Returns the ITU-R 601 luma in fixed point.
inline std::uint8_t luma(const std::uint8_t* rgb) {
  return static_cast<std::uint8_t>((rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 0x8000) >>
                                   16);
}

/// Returns from + factor * (to - from), computed in float32 and truncated toward zero.
inline std::uint8_t blend(int from, int to, float factor) {
  const float value = static_cast<float>(from) + factor * static_cast<float>(to - from);
  return static_cast<std::uint8_t>(std::clamp(value, 0.0F, 255.0F));
}

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
  std::int64_t sum = 0;
  detail::for_each_pixel(image, [&](const std::uint8_t* p) { sum += detail::luma(p); });
  const auto pixels = static_cast<double>(image.width() * image.height());
  const auto mean = static_cast<int>(static_cast<double>(sum) / pixels + 0.5);
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
  const auto shift = static_cast<std::uint8_t>(static_cast<int>(turn * 255));
  detail::for_each_pixel(image, [&](std::uint8_t* p) {
    const auto [low, high] = std::minmax({p[0], p[1], p[2]});
    if (low == high) return;  // Gray has no hue.
    const auto range = static_cast<float>(high - low);
    const float r = static_cast<float>(high - p[0]) / range;
    const float g = static_cast<float>(high - p[1]) / range;
    const float b = static_cast<float>(high - p[2]) / range;
    const double sixths = p[0] == high   ? static_cast<double>(b - g)
                          : p[1] == high ? 2.0 + static_cast<double>(r) - static_cast<double>(b)
                                         : 4.0 + static_cast<double>(g) - static_cast<double>(r);
    const auto fraction = static_cast<float>(
        std::fmod(static_cast<double>(static_cast<float>(sixths)) / 6.0 + 1.0, 1.0));
    const auto old_hue = static_cast<std::uint8_t>(static_cast<double>(fraction) * 255.0);
    const auto hue = static_cast<std::uint8_t>(old_hue + shift);
    const auto saturation =
        static_cast<std::uint8_t>(static_cast<double>(range / static_cast<float>(high)) * 255.0);

    const double position = static_cast<double>(hue) * 6.0 / 255.0;
    const int sector = static_cast<int>(position);
    const auto f = static_cast<float>(position - sector);
    const float s = static_cast<float>(saturation) / 255.0F;
    const auto scaled = [&](double share) {
      return static_cast<std::uint8_t>(std::clamp(std::round(high * share), 0.0, 255.0));
    };
    const std::uint8_t down = scaled(1.0 - static_cast<double>(s));
    const std::uint8_t falling = scaled(1.0 - static_cast<double>(s * f));
    const std::uint8_t rising =
        scaled(1.0 - static_cast<double>(s) * (1.0 - static_cast<double>(f)));
    const std::uint8_t top = high;
    const std::uint8_t table[6][3] = {{top, rising, down}, {falling, top, down},
                                      {down, top, rising}, {down, falling, top},
                                      {rising, down, top}, {top, down, falling}};
    std::copy_n(table[sector % 6], 3, p);
  });
}

/// Sets every channel to the luma.
inline void to_grayscale(RgbImage& image) {
  detail::for_each_pixel(image, [](std::uint8_t* p) { std::fill_n(p, 3, detail::luma(p)); });
}

}  // namespace contrapunto
