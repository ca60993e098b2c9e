// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>

#include "contrapunto/core/detail/host_device.hpp"

/// Changes of the color of one uint8 pixel with PIL's formulas and rounding, for the host and for
/// kernels. Both give the same bytes.
namespace contrapunto::detail {

/// Returns the ITU-R 601 luma in fixed point.
CONTRAPUNTO_HOST_DEVICE inline std::uint8_t luma(const std::uint8_t* rgb) {
  return static_cast<std::uint8_t>((rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 0x8000) >>
                                   16);
}

/// Returns from + factor * (to - from), computed in float32 and truncated toward zero.
CONTRAPUNTO_HOST_DEVICE inline std::uint8_t blend(int from, int to, float factor) {
  const float value =
      static_cast<float>(from) + rounded_product(factor, static_cast<float>(to - from));
  return static_cast<std::uint8_t>(value < 0.0F ? 0.0F : value > 255.0F ? 255.0F : value);
}

/// Rounds the mean of `pixels` lumas that add up to `sum`, as PIL's contrast does.
CONTRAPUNTO_HOST_DEVICE inline int mean_luma(std::uint64_t sum, std::int64_t pixels) {
  return static_cast<int>(static_cast<double>(sum) / static_cast<double>(pixels) + 0.5);
}

/// Returns a rotation by `turn` of the full circle, -0.5 to 0.5, as a step of 8-bit hue.
inline std::uint8_t hue_step(double turn) {
  return static_cast<std::uint8_t>(static_cast<int>(turn * 255));
}

/// Adds `step` to the hue of a pixel in 8-bit HSV.
CONTRAPUNTO_HOST_DEVICE inline void rotate_hue(std::uint8_t* p, std::uint8_t step) {
  const std::uint8_t low = p[0] < p[1] ? (p[0] < p[2] ? p[0] : p[2]) : (p[1] < p[2] ? p[1] : p[2]);
  const std::uint8_t high = p[0] > p[1] ? (p[0] > p[2] ? p[0] : p[2]) : (p[1] > p[2] ? p[1] : p[2]);
  if (low == high) return;  // Gray has no hue.
  const auto range = static_cast<float>(high - low);
  const float r = static_cast<float>(high - p[0]) / range;
  const float g = static_cast<float>(high - p[1]) / range;
  const float b = static_cast<float>(high - p[2]) / range;
  const double sixths = p[0] == high   ? static_cast<double>(b - g)
                        : p[1] == high ? 2.0 + static_cast<double>(r) - static_cast<double>(b)
                                       : 4.0 + static_cast<double>(g) - static_cast<double>(r);
  const double turned = static_cast<double>(static_cast<float>(sixths)) / 6.0 + 1.0;  // 5/6 to 11/6
  const auto fraction = static_cast<float>(turned >= 1.0 ? turned - 1.0 : turned);
  const auto old_hue = static_cast<std::uint8_t>(static_cast<double>(fraction) * 255.0);
  const auto hue = static_cast<std::uint8_t>(old_hue + step);
  const auto saturation =
      static_cast<std::uint8_t>(static_cast<double>(range / static_cast<float>(high)) * 255.0);

  const double position = static_cast<double>(hue) * 6.0 / 255.0;
  const int sector = static_cast<int>(position);
  const auto f = static_cast<float>(position - sector);
  const float s = static_cast<float>(saturation) / 255.0F;
  const auto scaled = [high](double share) {
    const double value = std::round(high * share);
    return static_cast<std::uint8_t>(value < 0.0 ? 0.0 : value > 255.0 ? 255.0 : value);
  };
  const std::uint8_t down = scaled(1.0 - static_cast<double>(s));
  const std::uint8_t falling = scaled(1.0 - static_cast<double>(rounded_product(s, f)));
  const std::uint8_t rising =
      scaled(1.0 - rounded_product(static_cast<double>(s), 1.0 - static_cast<double>(f)));
  const auto set = [p](std::uint8_t red, std::uint8_t green, std::uint8_t blue) {
    p[0] = red;
    p[1] = green;
    p[2] = blue;
  };
  switch (sector % 6) {
    case 0:
      return set(high, rising, down);
    case 1:
      return set(falling, high, down);
    case 2:
      return set(down, high, rising);
    case 3:
      return set(down, falling, high);
    case 4:
      return set(rising, down, high);
    default:
      return set(high, down, falling);
  }
}

/// Rounds a color of `color` levels with noise of standard deviation `deviation`, of which `normal`
/// is drawn from the standard normal distribution.
CONTRAPUNTO_HOST_DEVICE inline std::uint8_t noisy_level(double color, double deviation,
                                                        double normal) {
  const double level = color + rounded_product(deviation, normal);
  return static_cast<std::uint8_t>(std::nearbyint(level < 0.0     ? 0.0
                                                  : level > 255.0 ? 255.0
                                                                  : level));
}

}  // namespace contrapunto::detail
