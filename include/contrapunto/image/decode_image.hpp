// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/image/detail/decode_jpeg.hpp"
#include "contrapunto/image/detail/decode_png.hpp"
#include "contrapunto/image/detail/decode_ppm.hpp"
#include "contrapunto/image/detail/decode_webp.hpp"
#include "contrapunto/image/rgb_image.hpp"

namespace contrapunto {

/// Decodes JPEG, PNG, WebP or PPM, which are distinguished by their first bytes, to the result of
/// PIL's `Image.open(file).convert("RGB")`. `image` is overwritten and its memory is reused. Raises
/// DataError for corrupt, truncated or unknown data and for more than `max_pixels` pixels (0: no
/// limit).
inline void decode_image(std::span<const std::uint8_t> bytes, RgbImage& image,
                         std::int64_t max_pixels = kDefaultMaxPixels) {
  const auto begins = [&](std::string_view magic, std::size_t at = 0) {
    return bytes.size() >= at + magic.size() &&
           std::memcmp(bytes.data() + at, magic.data(), magic.size()) == 0;
  };
  if (begins("\xFF\xD8\xFF")) return detail::decode_jpeg(bytes, image, max_pixels);
  if (begins("\x89PNG\r\n\x1A\n")) return detail::decode_png(bytes, image, max_pixels);
  if (begins("RIFF") && begins("WEBP", 8)) return detail::decode_webp(bytes, image, max_pixels);
  if (begins("P6")) return detail::decode_ppm(bytes, image, max_pixels);
  throw DataError(bytes.empty() ? "the image is empty" : "not a JPEG, PNG, WebP or PPM image");
}

/// The same, but returns a new image.
[[nodiscard]] inline RgbImage decode_image(std::span<const std::uint8_t> bytes,
                                           std::int64_t max_pixels = kDefaultMaxPixels) {
  RgbImage image;
  decode_image(bytes, image, max_pixels);
  return image;
}

}  // namespace contrapunto
