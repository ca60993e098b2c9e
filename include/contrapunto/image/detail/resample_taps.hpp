// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "contrapunto/image/interpolation.hpp"
#include "contrapunto/kernels/detail/resample_weights.hpp"

namespace contrapunto::detail {

/// The geometry of one axis for a filter; see ResampleAxis.
inline ResampleAxis resample_axis(Interpolation mode, double offset, double extent,
                                  std::int64_t target) {
  return {mode == Interpolation::kBicubic, offset, extent, target};
}

/// For each output pixel of one axis: the first source pixel, the number of source pixels, and
/// their weights in fixed point.
struct ResampleTaps {
  /// Weights per output pixel; those beyond `count` are zero. A multiple of 4.
  std::size_t stride = 0;
  std::vector<std::int64_t> first;
  std::vector<std::int64_t> count;
  std::vector<std::int32_t> weights;  // [output pixel, stride]

  /// Computes the taps of output pixels begin ... begin + length - 1. `shift` is added to the
  /// places of all source pixels.
  void assign(const ResampleAxis& axis, std::int64_t begin, std::int64_t length,
              std::int64_t shift) {
    const auto most = static_cast<std::size_t>(axis.most_taps());
    stride = (most + 3) / 4 * 4;
    const auto n = static_cast<std::size_t>(length);
    first.resize(n);
    count.resize(n);
    weights.assign(n * stride, 0);
    exact_.resize(most);
    for (std::size_t i = 0; i < n; ++i) {
      const std::int64_t pixel = begin + static_cast<std::int64_t>(i);
      const auto [from, to] = axis.range(pixel);
      double sum = 0.0;
      for (std::int64_t x = from; x < to; ++x)
        sum += exact_[static_cast<std::size_t>(x - from)] = axis.weight(pixel, x);
      first[i] = from + shift;
      count[i] = to - from;
      for (std::size_t k = 0; k < static_cast<std::size_t>(to - from); ++k)
        weights[i * stride + k] = ResampleAxis::fixed(exact_[k], sum);
    }
  }

 private:
  std::vector<double> exact_;
};

/// The weights as high * 2^12 + low, so that 16-bit multiplications give the exact product.
struct WordTaps {
  static constexpr int kLowBits = 12;
  std::vector<std::int16_t> high;  // [output pixel, stride]
  std::vector<std::int16_t> low;

  void assign(const ResampleTaps& taps) {
    high.resize(taps.weights.size());
    low.resize(taps.weights.size());
    for (std::size_t i = 0; i < taps.weights.size(); ++i) {
      high[i] = static_cast<std::int16_t>(taps.weights[i] >> kLowBits);
      low[i] = static_cast<std::int16_t>(taps.weights[i] & ((1 << kLowBits) - 1));
    }
  }
};

}  // namespace contrapunto::detail
