// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "contrapunto/image/rgb_image.hpp"

namespace contrapunto {

/// Returns the image as the bytes of a binary PPM file, which `decode_image` can read. It needs no
/// codec, so sources that draw their images can use it.
[[nodiscard]] inline std::vector<std::uint8_t> encode_ppm(const RgbImage& image) {
  const std::string header =
      "P6 " + std::to_string(image.width()) + " " + std::to_string(image.height()) + " 255\n";
  std::vector<std::uint8_t> bytes(header.size() + image.bytes());
  std::copy(header.begin(), header.end(), bytes.begin());
  std::memcpy(bytes.data() + header.size(), image.data(), image.bytes());
  return bytes;
}

}  // namespace contrapunto
