// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#include "contrapunto/image/apply_operation.hpp"
#include "contrapunto/image/augmentation.hpp"
#include "contrapunto/image/color_change.hpp"
#include "contrapunto/image/color_jitter.hpp"
#include "contrapunto/image/erase_box.hpp"
#include "contrapunto/image/gaussian_blur.hpp"
#include "contrapunto/image/image_operation.hpp"
#include "contrapunto/image/interpolation.hpp"
#include "contrapunto/image/rgb_image.hpp"
#include "contrapunto/image/tone_curves.hpp"

namespace contrapunto::detail {

/// Swaps left and right.
inline void mirror(RgbImage& image) {
  for (std::int64_t y = 0; y < image.height(); ++y) {
    std::uint8_t* front = image.row(y);
    std::uint8_t* back = front + (image.width() - 1) * 3;
    for (; front < back; front += 3, back -= 3) std::swap_ranges(front, front + 3, back);
  }
}

/// Changes the resized square as `drawn` says, in the order of timm and of DINO: the mirror, the
/// automatic augmentation, colors, grayscale, blur, solarization, and erased boxes.
inline void augment_square(RgbImage& square, const Augmentation& drawn,
                           Interpolation interpolation) {
  if (drawn.flip) mirror(square);
  for (const ImageOperation& operation : drawn.operations)
    apply_operation(square, operation, interpolation, drawn.operation_fill);
  for (const ColorChange& change : drawn.colors) {
    if (change.kind == ColorChange::Kind::kBrightness) adjust_brightness(square, change.amount);
    if (change.kind == ColorChange::Kind::kContrast) adjust_contrast(square, change.amount);
    if (change.kind == ColorChange::Kind::kSaturation) adjust_saturation(square, change.amount);
    if (change.kind == ColorChange::Kind::kHue) adjust_hue(square, change.amount);
  }
  if (drawn.grayscale) to_grayscale(square);
  gaussian_blur(square, drawn.blur * static_cast<double>(square.width()));
  if (drawn.solarize_threshold) solarize(square, static_cast<int>(*drawn.solarize_threshold));
  for (const ErasedBox& box : drawn.erased) erase_box(square, box);
}

}  // namespace contrapunto::detail
