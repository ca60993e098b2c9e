// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "contrapunto/image/pixel_box.hpp"

namespace contrapunto {

/// What an image of a batch becomes when images are mixed: inside of a box it is blended with
/// another image, and outside of it stays as it is.
struct MixedRow {
  std::int64_t partner = 0;  ///< Row of the other image.
  PixelBox box = {};         ///< Empty: the image does not change.
  double own = 1.0;          ///< Weight of the image's own pixels in the box; 0 in CutMix.
  double weight = 1.0;       ///< Share of the image's own class.
};

}  // namespace contrapunto
