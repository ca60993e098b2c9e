// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/image/detail/decode_jpeg.hpp"
#include "contrapunto/image/detail/decode_png.hpp"
#include "contrapunto/image/detail/decode_ppm.hpp"
#include "contrapunto/image/detail/decode_webp.hpp"
#include "contrapunto/image/image_region.hpp"
#include "contrapunto/image/pixel_box.hpp"
#include "contrapunto/image/rgb_image.hpp"

namespace contrapunto {

/// Decodes JPEG, PNG, WebP or PPM, which are distinguished by their first bytes, in two steps: the
/// size first, and then the part of the image that is needed. It keeps its memory for the next
/// image. Each thread needs its own.
///
/// A part is decoded of a JPEG with one scan (not progressive), Huffman codes, sampling factors of
/// 1 and 2 and libjpeg-turbo 2.1 or newer, if the data ends with the marker of its end, except for
/// zeros. Everything else is decoded whole. The marker is required so that a truncated file raises
/// whatever part is asked for. Other damage to the scan of such a JPEG raises nothing even if the
/// image is decoded whole: it changes pixels.
class ImageDecoder {
 public:
  /// Reads the size of the image. `bytes` must live until decode() returns. Raises DataError for
  /// unknown data and for more than `max_pixels` pixels (0: no limit), and for data that is corrupt
  /// as far as it is read: the header of a JPEG, and all of another format.
  void open(std::span<const std::uint8_t> bytes, std::int64_t max_pixels = kDefaultMaxPixels) {
    const auto begins = [&](std::string_view magic, std::size_t at = 0) {
      return bytes.size() >= at + magic.size() &&
             std::memcmp(bytes.data() + at, magic.data(), magic.size()) == 0;
    };
    jpeg_.reset();
    if (begins("\xFF\xD8\xFF"))
      jpeg_.emplace(bytes, max_pixels);
    else if (begins("\x89PNG\r\n\x1A\n"))
      detail::decode_png(bytes, whole_, max_pixels);
    else if (begins("RIFF") && begins("WEBP", 8))
      detail::decode_webp(bytes, whole_, max_pixels);
    else if (begins("P6"))
      detail::decode_ppm(bytes, whole_, max_pixels);
    else
      throw DataError(bytes.empty() ? "the image is empty" : "not a JPEG, PNG, WebP or PPM image");
  }

  /// Width and height in pixels of the image that was opened.
  [[nodiscard]] std::int64_t width() const { return jpeg_ ? jpeg_->width() : whole_.width(); }
  [[nodiscard]] std::int64_t height() const { return jpeg_ ? jpeg_->height() : whole_.height(); }

  /// Decodes at least `box`, which must lie in the image, and returns what `pixels` then show. With
  /// a reduction of 1, the pixels of `box` are those of decode_image(), bit for bit; pixels outside
  /// of it are unspecified. A reduction of 2 or 4 applies to JPEG only: it computes an image with
  /// as many times fewer pixels on each side, rounded up, from the low frequencies of the blocks.
  /// The codec has fast code for these two. Call it once after open(). Raises DataError for corrupt
  /// or truncated data, and std::invalid_argument for a box outside of the image or another
  /// reduction.
  [[nodiscard]] ImageRegion decode(const PixelBox& box, RgbImage& pixels,
                                   std::int64_t reduction = 1) {
    // No TORCH_CHECK: decoding needs no LibTorch.
    if (box.left < 0 || box.top < 0 || box.width <= 0 || box.height <= 0 ||
        box.left + box.width > width() || box.top + box.height > height())
      throw std::invalid_argument("ImageDecoder: the box of " + std::to_string(box.width) + " x " +
                                  std::to_string(box.height) + " pixels at (" +
                                  std::to_string(box.left) + ", " + std::to_string(box.top) +
                                  ") is not inside an image of " + std::to_string(width()) + " x " +
                                  std::to_string(height()));
    if (reduction != 1 && reduction != 2 && reduction != 4)
      throw std::invalid_argument("ImageDecoder: reduction (" + std::to_string(reduction) +
                                  ") must be 1, 2 or 4");
    if (jpeg_) return jpeg_->decode(box, reduction, pixels);
    std::swap(whole_, pixels);
    return ImageRegion::whole(pixels);
  }

 private:
  std::optional<detail::JpegFile> jpeg_;
  RgbImage whole_;  // The pixels of another format, until decode().
};

}  // namespace contrapunto
