// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
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

/// The weights as digits[2] * 2^16 + digits[1] * 2^8 + digits[0] with digits from -128 to 127, for
/// the exact sums of products of bytes. Four neighboring taps are packed into 32 bits.
struct ByteTaps {
  /// Output pixels behind the last that may be read; their digits are zero.
  static constexpr std::size_t kPadding = 16;

  std::size_t steps = 0;                             // Groups of four taps.
  std::size_t pitch = 0;                             // Output pixels with the padding.
  std::array<std::vector<std::uint32_t>, 3> digits;  // Each [steps, pitch].

  void assign(const ResampleTaps& taps) {
    steps = taps.stride / 4;
    pitch = taps.first.size() + kPadding;
    for (auto& digit : digits) digit.resize(steps * pitch);
    for (std::size_t step = 0; step < steps; ++step) {
      for (auto& digit : digits)
        std::fill_n(&digit[step * pitch + taps.first.size()], kPadding, 0U);
      for (std::size_t i = 0; i < taps.first.size(); ++i) {
        std::uint32_t packed[3] = {};
        for (std::size_t k = 0; k < 4; ++k) {
          // With 2^7 added to each digit, the digits are the plain bytes of the sum.
          const auto bytes =
              static_cast<std::uint32_t>(taps.weights[i * taps.stride + step * 4 + k]) + 0x808080;
          for (std::size_t d = 0; d < 3; ++d)
            packed[d] |= (((bytes >> (8 * d)) & 0xFF) ^ 0x80) << (8 * k);
        }
        for (std::size_t d = 0; d < 3; ++d) digits[d][step * pitch + i] = packed[d];
      }
    }
  }
};

}  // namespace contrapunto::detail
