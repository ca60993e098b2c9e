// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "contrapunto/data/image_cache_recipe.hpp"
#include "contrapunto/image/decode_image.hpp"
#include "contrapunto/image/encode_jpeg.hpp"
#include "contrapunto/image/encode_ppm.hpp"
#include "contrapunto/image/resize.hpp"
#include "contrapunto/image/rgb_image.hpp"

namespace contrapunto::detail {

/// Memory that make_cached_image() reuses; one for each thread.
struct CachedImageWorkspace {
  RgbImage decoded, resized;
  Resizer resizer;
};

/// Returns the encoded image `image` as `recipe` keeps it, for decode_image(). It is a pure
/// function of its arguments and the version of libjpeg. An image with a side that JPEG cannot
/// have, which is a strip, keeps its raw pixels. Raises DataError as decode_image() does.
[[nodiscard]] inline std::vector<std::uint8_t> make_cached_image(
    const std::vector<std::uint8_t>& image, const ImageCacheRecipe& recipe,
    CachedImageWorkspace& work) {
  decode_image(image, work.decoded, recipe.max_pixels);
  const std::int64_t width = work.decoded.width();
  const std::int64_t height = work.decoded.height();
  const std::int64_t shorter = std::min(width, height);
  const bool resizes = shorter > recipe.side;
  if (resizes) {
    const auto scaled = [&](std::int64_t side) {
      return (side * recipe.side + shorter / 2) / shorter;  // Rounded to nearest.
    };
    const std::int64_t w = scaled(width);
    const std::int64_t h = scaled(height);
    work.resizer(work.decoded, {0, 0, width, height}, w, h, {0, 0, w, h}, work.resized);
  }
  const RgbImage& kept = resizes ? work.resized : work.decoded;
  if (recipe.quality == 0 || std::max(kept.width(), kept.height()) > kLargestJpegSide)
    return encode_ppm(kept);
  auto encoded = encode_jpeg(kept, recipe.quality);
  const bool is_jpeg = image[0] == 0xFF && image[1] == 0xD8;
  if (!resizes && is_jpeg && image.size() <= encoded.size()) return image;
  return encoded;
}

}  // namespace contrapunto::detail
