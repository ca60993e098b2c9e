// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace contrapunto::detail {

/// One change of colors of an AugmentRow.
struct RowColorChange {
  enum Kind : std::int32_t { kBrightness, kContrast, kSaturation, kHue };
  Kind kind = kBrightness;
  float factor = 1.0F;         ///< Not of the hue.
  std::int32_t hue_steps = 0;  ///< Of the hue: 0 to 255.
};

/// How one image of a batch becomes a square, in numbers that a kernel reads.
struct AugmentRow {
  static constexpr std::int32_t kMostChanges = 4;
  static constexpr std::int32_t kNoSolarization = 256;

  std::int64_t pixels = 0;  ///< Offset of the image, uint8 [height, width, 3], in its piece.
  std::int64_t erased = 0;  ///< Index of its first RowErasedBox.
  std::int32_t piece = 0;   ///< Of PackedImages::pieces.
  std::int32_t image = 0;   ///< Index of the result in the batch.
  std::int32_t width = 0;   ///< Of the image.
  std::int32_t height = 0;
  double crop_left = 0.0;  ///< The crop, which becomes the square, in pixels of the image. It
  double crop_top = 0.0;   ///< begins in the first column and row and ends in the last ones.
  double crop_width = 0.0;
  double crop_height = 0.0;
  std::int32_t left = 0;  ///< Shift of the square in pixels, to the right and down.
  std::int32_t top = 0;
  std::int32_t flip = 0;
  std::int32_t change_count = 0;
  RowColorChange changes[kMostChanges] = {};
  std::int32_t grayscale = 0;
  std::int32_t solarize_from = kNoSolarization;  ///< Levels from this one on are inverted.
  std::int32_t erased_count = 0;
};

/// A box of the square that is erased; see ErasedBox.
struct RowErasedBox {
  std::int32_t left = 0;
  std::int32_t top = 0;
  std::int32_t width = 0;
  std::int32_t height = 0;
  double color[3] = {};
  double noise[3] = {};
  std::uint64_t noise_seed = 0;
};
static_assert(sizeof(AugmentRow) % 8 == 0 && sizeof(RowErasedBox) % 8 == 0);

}  // namespace contrapunto::detail
