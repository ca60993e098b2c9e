// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>

#include "contrapunto/core/detail/host_device.hpp"

/// The weights of PIL's antialiased resize, for the host and for kernels. Both give the same bits.
namespace contrapunto::detail {

/// Fractional bits of a weight: 8 bits of pixel and 2 of overshoot still fit into 32 bits.
inline constexpr int kWeightBits = 22;

/// Returns the pixel of a sum of pixels times weights.
CONTRAPUNTO_HOST_DEVICE inline std::uint8_t round_pixel(std::int32_t sum) {
  const std::int32_t value = (sum + (1 << (kWeightBits - 1))) >> kWeightBits;
  return static_cast<std::uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
}

/// Source pixels from `from` to `to` - 1.
struct TapRange {
  std::int64_t from = 0;
  std::int64_t to = 0;
};

/// The geometry of one axis: `extent` pixels that begin `offset` pixels, less than one, behind the
/// start of the source become `target` pixels. When an image shrinks, the filter widens with the
/// scale, which is the antialiasing.
class ResampleAxis {
 public:
  CONTRAPUNTO_HOST_DEVICE ResampleAxis(bool is_cubic, double offset, double extent,
                                       std::int64_t target)
      : is_cubic_(is_cubic),
        offset_(offset),
        source_(static_cast<std::int64_t>(std::ceil(offset + extent))),
        scale_(extent / static_cast<double>(target)),
        inverse_widening_(1.0 / (scale_ > 1.0 ? scale_ : 1.0)),
        support_((is_cubic ? 2.0 : 1.0) * (scale_ > 1.0 ? scale_ : 1.0)) {}

  /// Largest number of source pixels of one target pixel.
  [[nodiscard]] CONTRAPUNTO_HOST_DEVICE std::int64_t most_taps() const {
    return static_cast<std::int64_t>(std::ceil(support_)) * 2 + 1;
  }

  /// Source pixels that target pixel `i` depends on.
  [[nodiscard]] CONTRAPUNTO_HOST_DEVICE TapRange range(std::int64_t i) const {
    const auto from = static_cast<std::int64_t>(center(i) - support_ + 0.5);
    const auto to = static_cast<std::int64_t>(center(i) + support_ + 0.5);
    return {from > 0 ? from : 0, to < source_ ? to : source_};
  }

  /// Weight of source pixel `x` in target pixel `i`, before the weights are divided by their sum.
  [[nodiscard]] CONTRAPUNTO_HOST_DEVICE double weight(std::int64_t i, std::int64_t x) const {
    const double distance =
        rounded_product(static_cast<double>(x) - center(i) + 0.5, inverse_widening_);
    return filter(distance < 0.0 ? -distance : distance);
  }

  /// `weight`, of weights that add up to `sum`, in fixed point.
  [[nodiscard]] CONTRAPUNTO_HOST_DEVICE static std::int32_t fixed(double weight, double sum) {
    const double scaled = rounded_product(weight / sum, static_cast<double>(1 << kWeightBits));
    return static_cast<std::int32_t>(scaled + (scaled < 0.0 ? -0.5 : 0.5));
  }

 private:
  [[nodiscard]] CONTRAPUNTO_HOST_DEVICE double center(std::int64_t i) const {
    return offset_ + rounded_product(static_cast<double>(i) + 0.5, scale_);
  }

  /// The filter at distance `x` >= 0. The cubic is Keys' with a = -1/2, as in PIL.
  [[nodiscard]] CONTRAPUNTO_HOST_DEVICE double filter(double x) const {
    const auto times = [](double a, double b) { return rounded_product(a, b); };
    if (!is_cubic_) return x < 1.0 ? 1.0 - x : 0.0;
    constexpr double a = -0.5;
    if (x < 1.0) return times(times(times(a + 2.0, x) - (a + 3.0), x), x) + 1.0;
    if (x < 2.0) return (times(times(x - 5.0, x) + 8.0, x) - 4.0) * a;
    return 0.0;
  }

  bool is_cubic_;
  double offset_;
  std::int64_t source_;
  double scale_, inverse_widening_, support_;
};

}  // namespace contrapunto::detail
