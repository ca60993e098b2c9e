// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "contrapunto/image/detail/resize_buffers.hpp"
#include "contrapunto/image/image_region.hpp"
#include "contrapunto/image/interpolation.hpp"
#include "contrapunto/image/pixel_box.hpp"
#include "contrapunto/image/rgb_image.hpp"

namespace contrapunto {

/// Antialiased resize, bit for bit equal to `crop(box).resize((width, height))` of PIL up to
/// version 12: columns first, with the result rounded to uint8, then rows. PIL 13 resizes the rows
/// first for some shapes; 99.97 % of its values on photographs are then within one level. A Resizer
/// keeps its buffers, so each thread needs its own.
class Resizer {
 public:
  /// Resizes `box` of `source` to width x height and writes the part `window` of the result to
  /// `out`. Pixels outside `box` have no influence. All sides must be at least 1. `box` must lie
  /// inside `source`, and `window` inside the result.
  void operator()(const RgbImage& source, PixelBox box, std::int64_t width, std::int64_t height,
                  PixelBox window, RgbImage& out,
                  Interpolation interpolation = Interpolation::kBicubic) {
    (*this)(source, ImageRegion::whole(source), box, width, height, window, out, interpolation);
  }

  /// The same with a part of the image, which `region` describes and which must contain the pixels
  /// that are read. `box` is in pixels of the whole image.
  void operator()(const RgbImage& pixels, const ImageRegion& region, PixelBox box,
                  std::int64_t width, std::int64_t height, PixelBox window, RgbImage& out,
                  Interpolation interpolation) {
    buffers_.resize(pixels, region, box, width, height, window, out, interpolation,
                    detail::best_simd());
  }

 private:
  detail::ResizeBuffers buffers_;
};

}  // namespace contrapunto
