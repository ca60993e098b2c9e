// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "contrapunto/image/rgb_image.hpp"

namespace contrapunto {
namespace detail {

/// Weights of one of several equal box filters whose repetition is close to a Gaussian. A box has
/// `2 * reach + 1` full weights and a smaller one at each end, in units of 2^-24.
struct SoftBox {
  std::int64_t reach = 0;
  std::uint32_t full = 0;
  std::uint32_t end = 0;

  /// Of the box with the variance `sigma`^2 / `passes`.
  SoftBox(float sigma, int passes) {
    constexpr std::uint32_t kOne = std::uint32_t{1} << 24;
    const float variance = sigma * sigma / static_cast<float>(passes);
    const auto length = static_cast<float>(std::sqrt(12.0 * static_cast<double>(variance) + 1.0));
    const auto whole = static_cast<float>(std::floor((static_cast<double>(length) - 1.0) / 2.0));
    const float fraction = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance) /
                           (6 * (variance - (whole + 1) * (whole + 1)));
    const float half = whole + fraction;
    reach = static_cast<std::int64_t>(half);
    full = static_cast<std::uint32_t>(static_cast<float>(kOne) / (half * 2 + 1));
    end = (kOne - static_cast<std::uint32_t>(reach * 2 + 1) * full) / 2;
  }

  /// Values before and behind a row or column that the filter reads.
  [[nodiscard]] std::size_t margin() const { return static_cast<std::size_t>(reach) + 1; }

  /// Filters one channel of one row or column, which begins after margin(). The margins of `in` are
  /// set to its first and last value.
  void operator()(std::vector<std::uint8_t>& in, std::vector<std::uint8_t>& out) const {
    const std::size_t begin = margin();
    const std::size_t end_of_line = in.size() - margin();
    std::fill_n(in.data(), margin(), in[begin]);
    std::fill_n(in.data() + end_of_line, margin(), in[end_of_line - 1]);
    std::uint32_t sum = 0;
    for (std::size_t i = 1; i < 2 * begin; ++i) sum += in[i];
    for (std::size_t i = begin; i < end_of_line; ++i) {
      const std::uint32_t first = in[i - begin];
      const std::uint32_t last = in[i + begin];
      out[i] = static_cast<std::uint8_t>(
          (sum * full + (first + last) * end + (std::uint32_t{1} << 23)) >> 24);
      sum += last - in[i - begin + 1];
    }
  }
};

}  // namespace detail

/// Blurs with a standard deviation of `radius` pixels, as PIL's GaussianBlur does: three box
/// filters along the rows and then three along the columns, each rounded to uint8. 0 changes
/// nothing. This is the blur of MoCo v2, SimSiam, DINO, DeiT III and timm, which draw the radius
/// from 0.1 to 2. torchvision's GaussianBlur filters with a sampled Gaussian instead, and gives
/// other pixels. Reference: Gwosdek et al. 2011, https://doi.org/10.1007/978-3-642-24785-9_38
inline void gaussian_blur(RgbImage& image, double radius) {
  if (radius <= 0.0) return;
  constexpr int kPasses = 3;
  const detail::SoftBox box(static_cast<float>(radius), kPasses);
  std::vector<std::uint8_t> line;
  std::vector<std::uint8_t> filtered;
  const auto filter = [&](std::uint8_t* first, std::int64_t count, std::int64_t stride) {
    line.resize(static_cast<std::size_t>(count) + 2 * box.margin());
    filtered.resize(line.size());
    const auto begin = static_cast<std::int64_t>(box.margin());
    for (std::int64_t i = 0; i < count; ++i)
      line[static_cast<std::size_t>(begin + i)] = first[i * stride];
    for (int pass = 0; pass < kPasses; ++pass) {
      box(line, filtered);
      line.swap(filtered);
    }
    for (std::int64_t i = 0; i < count; ++i)
      first[i * stride] = line[static_cast<std::size_t>(begin + i)];
  };
  for (std::int64_t y = 0; y < image.height(); ++y)
    for (int c = 0; c < 3; ++c) filter(image.row(y) + c, image.width(), 3);
  for (std::int64_t i = 0; i < image.width() * 3; ++i)
    filter(image.data() + i, image.height(), image.width() * 3);
}

}  // namespace contrapunto
