// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "contrapunto/image/rgb_image.hpp"

/// Changes of uint8 pixels by a table for each channel, equal to PIL's.
namespace contrapunto {
namespace detail {

using ToneCurve = std::array<std::uint8_t, 256>;

/// Replaces every value `v` of every channel by `tone(v)`.
template <class Tone>
void map_tones(RgbImage& image, Tone tone) {
  ToneCurve curve;
  for (int v = 0; v < 256; ++v)
    curve[static_cast<std::size_t>(v)] = static_cast<std::uint8_t>(tone(v));
  std::transform(image.data(), image.data() + image.bytes(), image.data(),
                 [&](std::uint8_t v) { return curve[v]; });
}

/// Replaces the values of each channel by the curve that `curve_of` makes of its histogram.
template <class CurveOf>
void map_histograms(RgbImage& image, CurveOf curve_of) {
  for (std::size_t c = 0; c < 3; ++c) {
    std::array<std::int64_t, 256> histogram{};
    for (std::size_t i = c; i < image.bytes(); i += 3) ++histogram[image.data()[i]];
    const ToneCurve curve = curve_of(histogram);
    for (std::size_t i = c; i < image.bytes(); i += 3) image.data()[i] = curve[image.data()[i]];
  }
}

inline ToneCurve unchanged_tones() {
  ToneCurve curve;
  for (std::size_t v = 0; v < 256; ++v) curve[v] = static_cast<std::uint8_t>(v);
  return curve;
}

}  // namespace detail

/// Inverts all values.
inline void invert_colors(RgbImage& image) {
  detail::map_tones(image, [](int v) { return 255 - v; });
}

/// Inverts the values from `threshold` on: 0 inverts all, and 256 none.
inline void solarize(RgbImage& image, int threshold) {
  detail::map_tones(image, [&](int v) { return v < threshold ? v : 255 - v; });
}

/// Adds `amount` >= 0 to the values below 128, up to 255.
inline void solarize_add(RgbImage& image, int amount) {
  detail::map_tones(image, [&](int v) { return v < 128 ? std::min(255, v + amount) : v; });
}

/// Keeps the `bits` highest bits of every value: 0 and less give black, and 8 and more the image.
inline void posterize(RgbImage& image, int bits) {
  const int kept = 256 - (1 << (8 - std::clamp(bits, 0, 8)));
  detail::map_tones(image, [&](int v) { return v & kept; });
}

/// Stretches the values of each channel to 0 ... 255. A channel of one value stays as it is.
inline void auto_contrast(RgbImage& image) {
  detail::map_histograms(image, [](const std::array<std::int64_t, 256>& histogram) {
    detail::ToneCurve curve = detail::unchanged_tones();
    int low = 0;
    int high = 255;
    while (low < 255 && histogram[static_cast<std::size_t>(low)] == 0) ++low;
    while (high > 0 && histogram[static_cast<std::size_t>(high)] == 0) --high;
    if (high <= low) return curve;
    const double scale = 255.0 / (high - low);
    for (int v = 0; v < 256; ++v)
      curve[static_cast<std::size_t>(v)] =
          static_cast<std::uint8_t>(std::clamp(static_cast<int>(v * scale - low * scale), 0, 255));
    return curve;
  });
}

/// Gives each channel about as many pixels of every value. A channel of one value, and one of few
/// pixels, stays as it is.
inline void equalize(RgbImage& image) {
  detail::map_histograms(image, [](const std::array<std::int64_t, 256>& histogram) {
    detail::ToneCurve curve = detail::unchanged_tones();
    std::int64_t pixels = 0;
    std::int64_t brightest = 0;
    for (const std::int64_t count : histogram) {
      pixels += count;
      if (count > 0) brightest = count;
    }
    const std::int64_t step = (pixels - brightest) / 255;
    if (step == 0) return curve;
    std::int64_t below = step / 2;
    for (std::size_t v = 0; v < 256; ++v) {
      curve[v] = static_cast<std::uint8_t>(std::min<std::int64_t>(below / step, 255));
      below += histogram[v];
    }
    return curve;
  });
}

}  // namespace contrapunto
