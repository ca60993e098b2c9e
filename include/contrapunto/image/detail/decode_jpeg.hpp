// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifndef CONTRAPUNTO_HAS_IMAGE
#error "decoding images needs `find_package(Contrapunto COMPONENTS image)` and contrapunto::image"
#endif

#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>  // jpeglib.h uses FILE and does not include it
#include <span>
#include <string>
#include <vector>

#include <jerror.h>
#include <jpeglib.h>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/image/rgb_image.hpp"

namespace contrapunto::detail {

/// libjpeg reports errors through a function that must not return. It jumps back to `on_error`, so
/// nothing with a destructor may be created between there and the calls into libjpeg.
struct JpegDecoder {
  JpegDecoder() {
    info.err = jpeg_std_error(&errors);
    info.client_data = this;
    errors.error_exit = [](j_common_ptr common) {
      common->err->format_message(common, self(common).message);
      std::longjmp(self(common).on_error, 1);
    };
    errors.emit_message = [](j_common_ptr common, int level) {
      // Warnings concern questionable pixels, except this one: the data has ended.
      if (level < 0 && common->err->msg_code == JWRN_JPEG_EOF) common->err->error_exit(common);
    };
    errors.output_message = [](j_common_ptr) {};
    progress.progress_monitor = [](j_common_ptr common) {
      // A small file can request thousands of passes over a large image.
      if (reinterpret_cast<j_decompress_ptr>(common)->input_scan_number > kMostScans)
        ERREXIT(common, JERR_BAD_PROGRESSION);
    };
  }
  ~JpegDecoder() { jpeg_destroy_decompress(&info); }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  static JpegDecoder& self(j_common_ptr common) {
    return *static_cast<JpegDecoder*>(common->client_data);
  }

  static constexpr int kMostScans = 500;
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  std::jmp_buf on_error{};
  char message[JMSG_LENGTH_MAX] = {};
  std::vector<std::uint8_t> cmyk_row;
};

/// Converts CMYK as Adobe writes it (inverted) to RGB: each color is what its ink and black let
/// through.
inline void cmyk_to_rgb(const std::uint8_t* cmyk, std::uint8_t* rgb, std::int64_t width) {
  for (std::int64_t x = 0; x < width; ++x, cmyk += 4, rgb += 3) {
    for (int channel = 0; channel < 3; ++channel) {
      // black - black * ink / 255, with the division rounded to nearest.
      const int black = cmyk[3];
      const int product = black * (255 - cmyk[channel]) + 128;
      rgb[channel] = static_cast<std::uint8_t>(black - (((product >> 8) + product) >> 8));
    }
  }
}

/// Makes every call that may jump. Returns false on an error. It has no object with a destructor.
inline bool run_jpeg(JpegDecoder& decoder, std::span<const std::uint8_t> bytes, RgbImage& image,
                     std::int64_t max_pixels, std::int64_t& pixels) {
  jpeg_decompress_struct& info = decoder.info;
  if (setjmp(decoder.on_error) != 0) return false;
  jpeg_create_decompress(&info);
  info.client_data = &decoder;
  info.progress = &decoder.progress;
  jpeg_mem_src(&info, bytes.data(), static_cast<unsigned long>(bytes.size()));
  jpeg_read_header(&info, TRUE);
  pixels = std::int64_t{info.image_width} * info.image_height;
  if (max_pixels > 0 && pixels > max_pixels) return true;
  const bool cmyk = info.num_components == 4;
  info.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(&info);
  image.reshape(info.output_width, info.output_height);
  if (cmyk) decoder.cmyk_row.resize(std::size_t{info.output_width} * 4);
  while (info.output_scanline < info.output_height) {
    std::uint8_t* out = image.row(info.output_scanline);
    JSAMPROW row = cmyk ? decoder.cmyk_row.data() : out;
    jpeg_read_scanlines(&info, &row, 1);
    if (cmyk) cmyk_to_rgb(decoder.cmyk_row.data(), out, info.output_width);
  }
  return true;
}

/// Decodes a baseline or progressive JPEG: grayscale, YCbCr, RGB, and CMYK or YCCK as Adobe writes
/// them (inverted). EXIF orientation is ignored, as PIL does when it opens a file. Raises DataError
/// for corrupt or truncated data, and if the header has more than `max_pixels` pixels (0: no
/// limit).
inline void decode_jpeg(std::span<const std::uint8_t> bytes, RgbImage& image,
                        std::int64_t max_pixels) {
  JpegDecoder decoder;
  std::int64_t pixels = 0;
  if (!run_jpeg(decoder, bytes, image, max_pixels, pixels))
    throw DataError(std::string("JPEG: ") + decoder.message);
  if (max_pixels > 0 && pixels > max_pixels)
    throw DataError("JPEG: " + std::to_string(pixels) + " pixels are more than max_pixels (" +
                    std::to_string(max_pixels) + ")");
}

}  // namespace contrapunto::detail
