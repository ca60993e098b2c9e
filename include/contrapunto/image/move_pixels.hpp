// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <utility>

#include "contrapunto/image/interpolation.hpp"
#include "contrapunto/image/rgb_image.hpp"

namespace contrapunto {

/// Where the pixel at (x, y) of a moved image comes from: source_x = xx * x + xy * y + x0, and
/// source_y = yx * x + yy * y + y0. The center of the first pixel is (0.5, 0.5).
struct AffineMap {
  double xx = 1.0, xy = 0.0, x0 = 0.0;
  double yx = 0.0, yy = 1.0, y0 = 0.0;

  /// Turns an image of `width` x `height` pixels counterclockwise around its center.
  [[nodiscard]] static AffineMap rotation(double degrees, std::int64_t width, std::int64_t height) {
    const double angle = degrees * std::numbers::pi / 180.0;
    const double cosine = std::cos(angle);
    const double sine = std::sin(angle);
    const double x = static_cast<double>(width) / 2;
    const double y = static_cast<double>(height) / 2;
    return {cosine, -sine, x - cosine * x + sine * y, sine, cosine, y - sine * x - cosine * y};
  }
};

namespace detail {

/// Returns the value `fraction` behind `v[1]` and before `v[2]`, from these two or from all four.
/// The cubic is PIL's for transforms, with the slope -1 where its resizing has -1/2. Equal values
/// give the same value without rounding.
template <Interpolation kMode>
[[nodiscard]] double between(const std::array<double, 4>& v, double fraction) {
  if constexpr (kMode == Interpolation::kBilinear) return v[1] + (v[2] - v[1]) * fraction;
  const double slope = v[2] - v[0];
  const double square = 2 * (v[0] - v[1]) + v[2] - v[3];
  const double cube = v[1] - v[0] + v[3] - v[2];
  return v[1] + fraction * (slope + fraction * (square + fraction * cube));
}

template <Interpolation kMode>
void move_pixels(RgbImage& image, const AffineMap& map, const std::array<std::uint8_t, 3>& fill) {
  const auto floor_of = [](double value) {  // std::floor is a call on old processors.
    const auto whole = static_cast<std::int64_t>(value);
    return value < static_cast<double>(whole) ? whole - 1 : whole;
  };
  const std::int64_t width = image.width();
  const std::int64_t height = image.height();
  RgbImage moved(width, height);
  for (std::int64_t y = 0; y < height; ++y) {
    std::uint8_t* out = moved.row(y);
    for (std::int64_t x = 0; x < width; ++x, out += 3) {
      const double center_x = static_cast<double>(x) + 0.5;
      const double center_y = static_cast<double>(y) + 0.5;
      const double from_x = map.xx * center_x + map.xy * center_y + map.x0;
      const double from_y = map.yx * center_x + map.yy * center_y + map.y0;
      if (from_x < 0.0 || from_x >= static_cast<double>(width) || from_y < 0.0 ||
          from_y >= static_cast<double>(height)) {
        std::copy_n(fill.data(), 3, out);
        continue;
      }
      const std::int64_t left = floor_of(from_x - 0.5);
      const std::int64_t top = floor_of(from_y - 0.5);
      const double behind_left = from_x - 0.5 - static_cast<double>(left);
      const double below_top = from_y - 0.5 - static_cast<double>(top);
      // Places of the neighbors from -1 to 2. Beyond the border its pixels are repeated.
      std::array<std::int64_t, 4> columns;
      std::array<const std::uint8_t*, 4> rows;
      for (std::size_t i = 0; i < 4; ++i) {
        const auto step = static_cast<std::int64_t>(i) - 1;
        const auto place = [&](std::int64_t first, std::int64_t size) {
          return std::clamp<std::int64_t>(first + step, 0, size - 1);
        };
        columns[i] = place(left, width) * 3;
        rows[i] = image.row(place(top, height));
      }
      for (std::int64_t c = 0; c < 3; ++c) {
        std::array<double, 4> lines;
        for (std::size_t j = 0; j < 4; ++j) {
          std::array<double, 4> pixels;
          for (std::size_t i = 0; i < 4; ++i) pixels[i] = rows[j][columns[i] + c];
          lines[j] = between<kMode>(pixels, behind_left);
        }
        const double value = between<kMode>(lines, below_top);
        out[c] = static_cast<std::uint8_t>(std::clamp(value, 0.0, 255.0));
      }
    }
  }
  image = std::move(moved);
}

}  // namespace detail

/// Moves the pixels of `image` with PIL's interpolation, which reads no more than the nearest 2 x 2
/// (kBilinear) or 4 x 4 pixels and truncates. Pixels from outside the image get the color `fill`.
inline void move_pixels(RgbImage& image, const AffineMap& map, Interpolation interpolation,
                        const std::array<std::uint8_t, 3>& fill) {
  if (interpolation == Interpolation::kBilinear)
    detail::move_pixels<Interpolation::kBilinear>(image, map, fill);
  else
    detail::move_pixels<Interpolation::kBicubic>(image, map, fill);
}

}  // namespace contrapunto
