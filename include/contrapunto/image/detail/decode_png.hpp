// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifndef CONTRAPUNTO_HAS_IMAGE
#error "decoding images needs `find_package(Contrapunto COMPONENTS image)` and contrapunto::image"
#endif

#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include <png.h>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/image/rgb_image.hpp"

namespace contrapunto::detail {

/// libpng's error function must not return either; the rule of JpegDecoder applies.
struct PngDecoder {
  explicit PngDecoder(std::span<const std::uint8_t> data) : left(data) {
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, &PngDecoder::fail,
                                 [](png_structp, png_const_charp) {});
    if (png) info = png_create_info_struct(png);
    if (!info) {
      png_destroy_read_struct(&png, nullptr, nullptr);
      throw DataError("PNG: libpng cannot allocate its structures");
    }
  }
  ~PngDecoder() { png_destroy_read_struct(&png, &info, nullptr); }
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;

  [[noreturn]] static void fail(png_structp png, png_const_charp text) {
    auto& self = *static_cast<PngDecoder*>(png_get_error_ptr(png));
    std::snprintf(self.message, sizeof self.message, "%s", text);
    png_longjmp(png, 1);
  }
  static void read(png_structp png, png_bytep target, std::size_t bytes) {
    auto& self = *static_cast<PngDecoder*>(png_get_io_ptr(png));
    if (bytes > self.left.size()) png_error(png, "the data ends early");
    std::memcpy(target, self.left.data(), bytes);
    self.left = self.left.subspan(bytes);
  }

  std::span<const std::uint8_t> left;
  png_structp png = nullptr;
  png_infop info = nullptr;
  char message[128] = {};
  std::vector<png_bytep> rows;
  std::vector<std::uint8_t> gray;  // 16 bits per pixel, high byte first.
};

/// Makes every call that may jump. Returns false on an error. It has no object with a destructor.
inline bool run_png(PngDecoder& decoder, RgbImage& image, std::int64_t max_pixels,
                    std::int64_t& pixels) {
  png_structp png = decoder.png;
  png_infop info = decoder.info;
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_set_read_fn(png, &decoder, &PngDecoder::read);
  png_read_info(png, info);
  const std::int64_t width = png_get_image_width(png, info);
  const std::int64_t height = png_get_image_height(png, info);
  pixels = width * height;
  if (max_pixels > 0 && pixels > max_pixels) return true;

  const int type = png_get_color_type(png, info);
  const int depth = png_get_bit_depth(png, info);
  const bool deep_gray = type == PNG_COLOR_TYPE_GRAY && depth == 16;
  if (type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if (type == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(png);
  if (depth == 16 && !deep_gray) png_set_strip_16(png);
  png_set_strip_alpha(png);  // Also the alpha of a palette's transparency.
  if (!(type & PNG_COLOR_MASK_COLOR) && !deep_gray) png_set_gray_to_rgb(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  const std::size_t row_bytes = png_get_rowbytes(png, info);
  if (row_bytes != static_cast<std::size_t>(width) * (deep_gray ? 2 : 3))
    png_error(png, "unexpected row size");

  image.reshape(width, height);
  if (deep_gray) decoder.gray.resize(row_bytes * static_cast<std::size_t>(height));
  decoder.rows.resize(static_cast<std::size_t>(height));
  for (std::int64_t y = 0; y < height; ++y)
    decoder.rows[static_cast<std::size_t>(y)] =
        deep_gray ? decoder.gray.data() + static_cast<std::size_t>(y) * row_bytes : image.row(y);
  png_read_image(png, decoder.rows.data());
  if (deep_gray) {
    // As in PIL, values above 255 are clipped rather than scaled down.
    const std::uint8_t* value = decoder.gray.data();
    for (std::uint8_t *out = image.data(), *end = out + image.bytes(); out != end;
         out += 3, value += 2)
      std::fill_n(out, 3, value[0] ? std::uint8_t{255} : value[1]);
  }
  return true;
}

/// Decodes a PNG of any color type and depth to the result of PIL's `convert("RGB")`: transparency
/// is dropped, not blended. 16-bit color keeps its high bytes, and 16-bit gray is clipped at 255.
/// Raises DataError for corrupt or truncated data and for more than `max_pixels` pixels (0: no
/// limit).
inline void decode_png(std::span<const std::uint8_t> bytes, RgbImage& image,
                       std::int64_t max_pixels) {
  PngDecoder decoder(bytes);
  std::int64_t pixels = 0;
  if (!run_png(decoder, image, max_pixels, pixels))
    throw DataError(std::string("PNG: ") + decoder.message);
  if (max_pixels > 0 && pixels > max_pixels)
    throw DataError("PNG: " + std::to_string(pixels) + " pixels are more than max_pixels (" +
                    std::to_string(max_pixels) + ")");
}

}  // namespace contrapunto::detail
