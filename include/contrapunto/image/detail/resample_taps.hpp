// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "contrapunto/image/interpolation.hpp"

namespace contrapunto::detail {

/// Fractional bits of a weight: 8 bits of pixel and 2 of overshoot still fit into 32 bits.
constexpr int kWeightBits = 22;
/// Weights are stored as high * 2^12 + low, so that 16-bit multiplications give the exact product.
constexpr int kLowWeightBits = 12;

inline double filter_radius(Interpolation mode) {
  return mode == Interpolation::kBicubic ? 2.0 : 1.0;
}

/// Returns the weight of a source pixel at distance `x`. The cubic is Keys' with a = -1/2, as in
/// PIL.
inline double filter_weight(Interpolation mode, double x) {
  x = std::abs(x);
  if (mode == Interpolation::kBilinear) return std::max(0.0, 1.0 - x);
  constexpr double a = -0.5;
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

/// For each output pixel of one axis: the first source pixel, the number of source pixels, and
/// their weights in fixed point. When an image shrinks, the filter widens with the scale, which is
/// the antialiasing.
struct ResampleTaps {
  /// Taps per output pixel in `high` and `low`; taps beyond `count` are zero. A multiple of 4.
  std::size_t stride = 0;
  std::vector<std::int64_t> first;
  std::vector<std::int64_t> count;
  std::vector<std::int16_t> high;
  std::vector<std::int16_t> low;

  /// Computes the taps of output pixels begin ... begin + length - 1 if `source` pixels become
  /// `target`.
  void assign(Interpolation mode, std::int64_t source, std::int64_t target, std::int64_t begin,
              std::int64_t length) {
    const double scale = static_cast<double>(source) / static_cast<double>(target);
    const double widening = std::max(scale, 1.0);
    const double support = filter_radius(mode) * widening;
    const auto most = static_cast<std::size_t>(std::ceil(support)) * 2 + 1;
    stride = (most + 3) / 4 * 4;
    const auto n = static_cast<std::size_t>(length);
    first.assign(n, 0);
    count.assign(n, 0);
    high.assign(n * stride, 0);
    low.assign(n * stride, 0);
    std::vector<double> weights(most);
    for (std::size_t i = 0; i < n; ++i) {
      const double center = (static_cast<double>(begin) + static_cast<double>(i) + 0.5) * scale;
      const auto from =
          std::max<std::int64_t>(static_cast<std::int64_t>(center - support + 0.5), 0);
      const auto to = std::min(static_cast<std::int64_t>(center + support + 0.5), source);
      double sum = 0.0;
      for (std::int64_t x = from; x < to; ++x) {
        const double distance = (static_cast<double>(x) - center + 0.5) * (1.0 / widening);
        sum += weights[static_cast<std::size_t>(x - from)] = filter_weight(mode, distance);
      }
      first[i] = from;
      count[i] = to - from;
      for (std::size_t k = 0; k < static_cast<std::size_t>(to - from); ++k) {
        const double scaled = weights[k] / sum * (1 << kWeightBits);
        const auto weight = static_cast<std::int32_t>(scaled + (scaled < 0.0 ? -0.5 : 0.5));
        high[i * stride + k] = static_cast<std::int16_t>(weight >> kLowWeightBits);
        low[i * stride + k] = static_cast<std::int16_t>(weight & ((1 << kLowWeightBits) - 1));
      }
    }
  }

  [[nodiscard]] std::int32_t weight(std::size_t i, std::size_t k) const {
    return high[i * stride + k] * (1 << kLowWeightBits) + low[i * stride + k];
  }
};

}  // namespace contrapunto::detail
