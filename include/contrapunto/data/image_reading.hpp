// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "contrapunto/image/interpolation.hpp"
#include "contrapunto/image/resize_mode.hpp"

namespace contrapunto {

/// A further tensor of a batch with the same images as another model reads them, such as a teacher.
/// Both tensors are made from one decoded image and from one random crop, shift, flip and change of
/// colors: the pixels are those of a loader that has this image size and interpolation. A shift is
/// rounded to whole pixels of this size.
struct ImageReading {
  std::string name = {};          ///< Tensor of the batch, uint8 [B, 3, S, S]. With several views,
                                  ///< view_name() gives the names of the others.
  std::int64_t image_size = 224;  ///< S: side of the square in pixels.
  Interpolation interpolation = Interpolation::kBicubic;  ///< Always antialiased.
  ResizeMode resize_mode = ResizeMode::kShortest;         ///< Evaluation only.
};

}  // namespace contrapunto
