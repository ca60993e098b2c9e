// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifndef CONTRAPUNTO_HAS_IMAGE
#error "decoding images needs `find_package(Contrapunto COMPONENTS image)` and contrapunto::image"
#endif

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <webp/decode.h>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/image/rgb_image.hpp"

namespace contrapunto::detail {

/// Decodes a still WebP, lossy or lossless. Transparency is dropped, not blended. Raises DataError
/// for corrupt or truncated data, for animations and for more than `max_pixels` pixels (0: no
/// limit).
inline void decode_webp(std::span<const std::uint8_t> bytes, RgbImage& image,
                        std::int64_t max_pixels) {
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(bytes.data(), bytes.size(), &features) != VP8_STATUS_OK)
    throw DataError("WebP: bad header");
  if (features.has_animation) throw DataError("WebP: animations are not supported");
  const std::int64_t pixels = std::int64_t{features.width} * features.height;
  if (max_pixels > 0 && pixels > max_pixels)
    throw DataError("WebP: " + std::to_string(pixels) + " pixels are more than max_pixels (" +
                    std::to_string(max_pixels) + ")");
  image.reshape(features.width, features.height);
  if (!WebPDecodeRGBInto(bytes.data(), bytes.size(), image.data(), image.bytes(),
                         features.width * 3))
    throw DataError("WebP: corrupt or truncated data");
}

}  // namespace contrapunto::detail
