// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "contrapunto/image/interpolation.hpp"
#include "contrapunto/kernels/detail/resample_weights.hpp"

namespace contrapunto::detail {

/// Weights are stored as high * 2^12 + low, so that 16-bit multiplications give the exact product.
constexpr int kLowWeightBits = 12;

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
    const ResampleAxis axis(mode == Interpolation::kBicubic, 0.0, static_cast<double>(source),
                            target);
    const auto most = static_cast<std::size_t>(axis.most_taps());
    stride = (most + 3) / 4 * 4;
    const auto n = static_cast<std::size_t>(length);
    first.assign(n, 0);
    count.assign(n, 0);
    high.assign(n * stride, 0);
    low.assign(n * stride, 0);
    std::vector<double> weights(most);
    for (std::size_t i = 0; i < n; ++i) {
      const std::int64_t pixel = begin + static_cast<std::int64_t>(i);
      const auto [from, to] = axis.range(pixel);
      first[i] = from;
      count[i] = to - from;
      double sum = 0.0;
      for (std::int64_t x = from; x < to; ++x)
        sum += weights[static_cast<std::size_t>(x - from)] = axis.weight(pixel, x);
      for (std::size_t k = 0; k < static_cast<std::size_t>(count[i]); ++k) {
        const std::int32_t weight = ResampleAxis::fixed(weights[k], sum);
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
