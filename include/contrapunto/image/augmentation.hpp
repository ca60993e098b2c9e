// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "contrapunto/image/color_change.hpp"
#include "contrapunto/image/pixel_box.hpp"

namespace contrapunto {

/// The random decisions about one training image. They do not depend on the size of the output, so
/// several transforms can make views of different sizes of the same crop; see
/// ImageTransform::draw().
struct Augmentation {
  std::optional<PixelBox> crop = std::nullopt;  ///< Part of the source; unset: the whole image.
  double shift_right = 0.0;  ///< Shift of the image as a fraction of the side of the square.
  double shift_down = 0.0;
  bool flip = false;                     ///< Mirror the square.
  std::vector<ColorChange> colors = {};  ///< In this order.
  bool grayscale = false;
};

}  // namespace contrapunto
