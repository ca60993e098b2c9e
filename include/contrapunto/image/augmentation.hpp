// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "contrapunto/image/color_change.hpp"
#include "contrapunto/image/erased_box.hpp"
#include "contrapunto/image/image_operation.hpp"
#include "contrapunto/image/pixel_box.hpp"

namespace contrapunto {

/// The random decisions about one training image. They do not depend on the size of the output, so
/// several transforms can make views of different sizes of the same crop; see
/// ImageTransform::draw().
struct Augmentation {
  std::optional<PixelBox> crop = std::nullopt;  ///< Part of the source; unset: the whole image.
  double shift_right = 0.0;  ///< Shift of the image as a fraction of the side of the square.
  double shift_down = 0.0;
  /// Left and top of a square in the image whose shorter side is the side of the square, as
  /// fractions of it; see ImageTransformOptions::simple_crop_padding.
  std::optional<std::array<double, 2>> simple_crop = std::nullopt;
  bool flip = false;                                       ///< Mirror the square.
  std::vector<ImageOperation> operations = {};             ///< In this order, before the colors.
  std::array<std::uint8_t, 3> operation_fill = {0, 0, 0};  ///< Color of pixels from outside.
  std::vector<ColorChange> colors = {};                    ///< In this order.
  bool grayscale = false;
  double blur = 0.0;  ///< Radius as a fraction of the side of the square.
  std::optional<std::int64_t> solarize_threshold = std::nullopt;
  std::vector<ErasedBox> erased = {};  ///< In this order, after all else.
};

}  // namespace contrapunto
