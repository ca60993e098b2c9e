// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "contrapunto/core/hash.hpp"
#include "contrapunto/image/rgb_image.hpp"

namespace contrapunto {

/// What an image cache keeps of an image: the pixels after an antialiased bicubic resize, as JPEG
/// or as they are.
///
/// An image whose shorter side is larger than `side` is resized so that it becomes `side`. Smaller
/// images keep their size. A JPEG that is not resized is kept as it is if it is not larger than its
/// encoding at `quality`, because encoding it again would only lose detail.
struct ImageCacheRecipe {
  std::int64_t side = 256;                      ///< Most pixels of the shorter side.
  std::int64_t quality = 90;                    ///< Of the JPEG, 1 to 100; 0: raw pixels.
  std::int64_t max_pixels = kDefaultMaxPixels;  ///< Larger images are unusable; 0: no limit.

  /// Differs between recipes that give different bytes, and between versions of the library that
  /// do.
  [[nodiscard]] std::uint64_t checksum() const {
    constexpr std::int64_t kRecipeVersion = 1;
    const std::array<std::int64_t, 4> values = {kRecipeVersion, side, quality, max_pixels};
    return checksum_of({reinterpret_cast<const char*>(values.data()), sizeof(values)});
  }

  /// Such as "short side 256, JPEG of quality 90".
  [[nodiscard]] std::string text() const {
    return "short side " + std::to_string(side) + ", " +
           (quality > 0 ? "JPEG of quality " + std::to_string(quality) : "raw pixels");
  }
};

}  // namespace contrapunto
