// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/image/rgb_image.hpp"

namespace contrapunto::detail {

/// Reads raw pixels with a header: "P6 WIDTH HEIGHT 255\n", then [height, width, 3] bytes.
/// Synthetic sources use this format because it needs no codec. Raises DataError for anything else.
inline void decode_ppm(std::span<const std::uint8_t> bytes, RgbImage& image,
                       std::int64_t max_pixels) {
  std::size_t at = 2;
  const auto number = [&] {
    const auto is_space = [](std::uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
    while (at < bytes.size() && (is_space(bytes[at]) || bytes[at] == '#')) {
      if (bytes[at] == '#')
        while (at < bytes.size() && bytes[at] != '\n') ++at;
      else
        ++at;
    }
    std::int64_t value = 0;
    const std::size_t begin = at;
    for (; at < bytes.size() && bytes[at] >= '0' && bytes[at] <= '9' && value < 1'000'000; ++at)
      value = value * 10 + (bytes[at] - '0');
    if (at == begin || at >= bytes.size() || !is_space(bytes[at]))
      throw DataError("PPM: bad header");
    return value;
  };
  if (bytes.size() < 2 || bytes[0] != 'P' || bytes[1] != '6') throw DataError("PPM: bad header");
  const std::int64_t width = number();
  const std::int64_t height = number();
  if (number() != 255) throw DataError("PPM: only 8 bits per channel are supported");
  ++at;
  const std::int64_t pixels = width * height;
  if (pixels < 1) throw DataError("PPM: no pixels");
  if (max_pixels > 0 && pixels > max_pixels)
    throw DataError("PPM: " + std::to_string(pixels) + " pixels are more than max_pixels (" +
                    std::to_string(max_pixels) + ")");
  if (bytes.size() - at < static_cast<std::size_t>(pixels) * 3)
    throw DataError("PPM: truncated data");
  image.reshape(width, height);
  std::memcpy(image.data(), bytes.data() + at, image.bytes());
}

}  // namespace contrapunto::detail
