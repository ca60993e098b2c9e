// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace contrapunto {

/// One change of an image by an automatic augmentation; see image/apply_operation.hpp.
struct ImageOperation {
  enum class Kind {
    kAutoContrast,
    kEqualize,
    kInvert,
    kRotate,       ///< Degrees, counterclockwise.
    kPosterize,    ///< Bits that are kept.
    kSolarize,     ///< Threshold.
    kSolarizeAdd,  ///< Levels.
    kColor,        ///< Factor, as of the saturation.
    kContrast,     ///< Factor.
    kBrightness,   ///< Factor.
    kSharpness,    ///< Factor.
    kShearX,       ///< Pixels to the left for each pixel down.
    kShearY,       ///< Pixels up for each pixel to the right.
    kTranslateX,   ///< Fraction of the width, to the left.
    kTranslateY,   ///< Fraction of the height, upward.
    kBlur,         ///< Radius as a fraction of the width.
  };
  Kind kind = Kind::kAutoContrast;
  double argument = 0.0;  ///< In the unit of its kind. The first three have none.
};

}  // namespace contrapunto
