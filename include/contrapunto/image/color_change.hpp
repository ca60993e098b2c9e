// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace contrapunto {

/// A change of the colors of an image; see image/color_jitter.hpp.
struct ColorChange {
  enum class Kind { kBrightness, kContrast, kSaturation, kHue };
  Kind kind = Kind::kBrightness;
  double amount = 1.0;  ///< A factor, or turns of the hue.
};

}  // namespace contrapunto
