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

/// Source pixels from `from` to `to` - 1.
struct TapRange {
  std::int64_t from = 0;
  std::int64_t to = 0;
};

/// The geometry of one axis: `extent` pixels that begin `offset` pixels, less than one, behind the
/// start of the source become `target` pixels. When an image shrinks, the filter widens with the
/// scale, which is the antialiasing.
struct ResampleAxis {
  ResampleAxis(Interpolation mode, double offset, double extent, std::int64_t target)
      : offset_(offset),
        source_(static_cast<std::int64_t>(std::ceil(offset + extent))),
        scale_(extent / static_cast<double>(target)),
        widening(std::max(scale_, 1.0)),
        support(filter_radius(mode) * widening) {}

  /// Center of output pixel `i` in the source.
  [[nodiscard]] double center(std::int64_t i) const {
    return offset_ + (static_cast<double>(i) + 0.5) * scale_;
  }

  /// Source pixels that output pixel `i` depends on.
  [[nodiscard]] TapRange range(std::int64_t i) const {
    return {std::max<std::int64_t>(static_cast<std::int64_t>(center(i) - support + 0.5), 0),
            std::min(static_cast<std::int64_t>(center(i) + support + 0.5), source_)};
  }

 private:
  double offset_;
  std::int64_t source_;
  double scale_;

 public:
  double widening;
  double support;
};

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
  void assign(Interpolation mode, const ResampleAxis& axis, std::int64_t begin, std::int64_t length,
              std::int64_t shift) {
    const auto most = static_cast<std::size_t>(std::ceil(axis.support)) * 2 + 1;
    stride = (most + 3) / 4 * 4;
    const auto n = static_cast<std::size_t>(length);
    first.resize(n);
    count.resize(n);
    weights.assign(n * stride, 0);
    exact_.resize(most);
    const double narrowing = 1.0 / axis.widening;
    for (std::size_t i = 0; i < n; ++i) {
      const double center = axis.center(begin + static_cast<std::int64_t>(i));
      const auto [from, to] = axis.range(begin + static_cast<std::int64_t>(i));
      double sum = 0.0;
      for (std::int64_t x = from; x < to; ++x) {
        const double distance = (static_cast<double>(x) - center + 0.5) * narrowing;
        sum += exact_[static_cast<std::size_t>(x - from)] = filter_weight(mode, distance);
      }
      first[i] = from + shift;
      count[i] = to - from;
      for (std::size_t k = 0; k < static_cast<std::size_t>(to - from); ++k) {
        const double scaled = exact_[k] / sum * (1 << kWeightBits);
        weights[i * stride + k] = static_cast<std::int32_t>(scaled + (scaled < 0.0 ? -0.5 : 0.5));
      }
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
