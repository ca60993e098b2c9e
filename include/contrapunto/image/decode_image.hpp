// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "contrapunto/image/image_decoder.hpp"
#include "contrapunto/image/rgb_image.hpp"

namespace contrapunto {

/// Decodes JPEG, PNG, WebP or PPM, which are distinguished by their first bytes, to the result of
/// PIL's `Image.open(file).convert("RGB")`. `image` is overwritten. Raises DataError for corrupt,
/// truncated or unknown data and for more than `max_pixels` pixels (0: no limit). ImageDecoder
/// decodes a part of an image.
inline void decode_image(std::span<const std::uint8_t> bytes, RgbImage& image,
                         std::int64_t max_pixels = kDefaultMaxPixels) {
  ImageDecoder decoder;
  decoder.open(bytes, max_pixels);
  static_cast<void>(decoder.decode({0, 0, decoder.width(), decoder.height()}, image));
}

/// The same, but returns a new image.
[[nodiscard]] inline RgbImage decode_image(std::span<const std::uint8_t> bytes,
                                           std::int64_t max_pixels = kDefaultMaxPixels) {
  RgbImage image;
  decode_image(bytes, image, max_pixels);
  return image;
}

}  // namespace contrapunto
