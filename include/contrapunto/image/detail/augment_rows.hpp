// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "contrapunto/image/augmentation.hpp"
#include "contrapunto/image/color_change.hpp"
#include "contrapunto/image/erase_box.hpp"
#include "contrapunto/image/erased_box.hpp"
#include "contrapunto/image/image_transform_options.hpp"
#include "contrapunto/image/pixel_box.hpp"
#include "contrapunto/kernels/detail/augment_row.hpp"
#include "contrapunto/kernels/detail/color_pixels.hpp"

/// Augmentations in the form that augment_images() takes.
namespace contrapunto::detail {

/// Raises if augment_images() cannot make what a transform with `options` draws.
inline void check_augments_on_device(const ImageTransformOptions& options) {
  TORCH_CHECK(options.train,
              "augmentation on the device: the transform is not random; set "
              "ImageTransformOptions::train, or augment on the host");
  const auto supported = [](bool holds, const auto&... what) {
    TORCH_CHECK(holds, "augmentation on the device has no ", what...,
                "; leave it out, or augment on the host");
  };
  supported(options.augment.empty(), "automatic augmentation, such as augment '", options.augment,
            "'");
  supported(options.blur_probability == 0.0, "blur (probability ", options.blur_probability, ")");
  supported(!options.simple_crop_padding.has_value(), "simple crop");
}

inline RowColorChange row_color_change(const ColorChange& change) {
  using Kind = ColorChange::Kind;
  RowColorChange row;
  row.kind = change.kind == Kind::kBrightness   ? RowColorChange::kBrightness
             : change.kind == Kind::kContrast   ? RowColorChange::kContrast
             : change.kind == Kind::kSaturation ? RowColorChange::kSaturation
                                                : RowColorChange::kHue;
  if (change.kind == Kind::kHue)
    row.hue_steps = hue_step(change.amount);
  else
    row.factor = static_cast<float>(change.amount);
  return row;
}

inline RowErasedBox row_erased_box(const ErasedBox& box, std::int64_t size) {
  const PixelBox pixels = pixels_of(box, size);
  RowErasedBox row;
  row.left = static_cast<std::int32_t>(pixels.left);
  row.top = static_cast<std::int32_t>(pixels.top);
  row.width = static_cast<std::int32_t>(pixels.width);
  row.height = static_cast<std::int32_t>(pixels.height);
  for (std::size_t c = 0; c < 3; ++c) {
    row.color[c] = box.color[c];
    row.noise[c] = box.noise[c];
  }
  row.noise_seed = box.noise_seed;
  return row;
}

/// Returns what `drawn` says for a square of `size` pixels, without the place of the image, and
/// appends its erased boxes to `erased`. `drawn` must come from a transform that
/// check_augments_on_device() accepts.
inline AugmentRow augment_row(const Augmentation& drawn, std::int64_t size,
                              std::vector<RowErasedBox>& erased) {
  TORCH_INTERNAL_ASSERT(drawn.operations.empty() && drawn.blur == 0.0 && !drawn.simple_crop &&
                        drawn.colors.size() <= AugmentRow::kMostChanges);
  const auto pixels = [&](double shift) {
    return static_cast<std::int32_t>(std::nearbyint(shift * static_cast<double>(size)));
  };
  AugmentRow row;
  row.left = pixels(drawn.shift_right);
  row.top = pixels(drawn.shift_down);
  row.flip = drawn.flip ? 1 : 0;
  for (const ColorChange& change : drawn.colors)
    row.changes[row.change_count++] = row_color_change(change);
  row.grayscale = drawn.grayscale ? 1 : 0;
  if (drawn.solarize_threshold)
    row.solarize_from = static_cast<std::int32_t>(*drawn.solarize_threshold);
  row.erased = std::ssize(erased);
  row.erased_count = static_cast<std::int32_t>(drawn.erased.size());
  for (const ErasedBox& box : drawn.erased) erased.push_back(row_erased_box(box, size));
  return row;
}

}  // namespace contrapunto::detail
