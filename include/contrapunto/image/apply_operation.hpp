// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "contrapunto/image/color_jitter.hpp"
#include "contrapunto/image/gaussian_blur.hpp"
#include "contrapunto/image/image_operation.hpp"
#include "contrapunto/image/interpolation.hpp"
#include "contrapunto/image/move_pixels.hpp"
#include "contrapunto/image/rgb_image.hpp"
#include "contrapunto/image/sharpness.hpp"
#include "contrapunto/image/tone_curves.hpp"

namespace contrapunto {

/// Changes `image` by one operation, as timm does with PIL. What comes in from outside the image
/// has the color `fill`.
inline void apply_operation(RgbImage& image, const ImageOperation& operation,
                            Interpolation interpolation, const std::array<std::uint8_t, 3>& fill) {
  using Kind = ImageOperation::Kind;
  const double argument = operation.argument;
  const auto width = static_cast<double>(image.width());
  const auto move = [&](const AffineMap& map) { move_pixels(image, map, interpolation, fill); };
  switch (operation.kind) {
    case Kind::kAutoContrast:
      return auto_contrast(image);
    case Kind::kEqualize:
      return equalize(image);
    case Kind::kInvert:
      return invert_colors(image);
    case Kind::kRotate:
      return move(AffineMap::rotation(argument, image.width(), image.height()));
    case Kind::kPosterize:
      return posterize(image, static_cast<int>(argument));
    case Kind::kSolarize:
      return solarize(image, static_cast<int>(argument));
    case Kind::kSolarizeAdd:
      return solarize_add(image, static_cast<int>(argument));
    case Kind::kColor:
      return adjust_saturation(image, argument);
    case Kind::kContrast:
      return adjust_contrast(image, argument);
    case Kind::kBrightness:
      return adjust_brightness(image, argument);
    case Kind::kSharpness:
      return adjust_sharpness(image, argument);
    case Kind::kShearX:
      return move({.xy = argument});
    case Kind::kShearY:
      return move({.yx = argument});
    case Kind::kTranslateX:
      return move({.x0 = argument * width});
    case Kind::kTranslateY:
      return move({.y0 = argument * static_cast<double>(image.height())});
    case Kind::kBlur:
      return gaussian_blur(image, argument * width);
  }
}

}  // namespace contrapunto
