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
#include <cstdio>  // jpeglib.h uses FILE and does not include it
#include <span>
#include <string>
#include <vector>

#include <jerror.h>
#include <jpeglib.h>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/image/image_region.hpp"
#include "contrapunto/image/pixel_box.hpp"
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

/// Whether the data ends with the marker of the end of an image, except for zeros behind it. A file
/// that was cut short does not.
inline bool ends_with_jpeg(std::span<const std::uint8_t> bytes) {
  std::size_t size = bytes.size();
  while (size > 0 && bytes[size - 1] == 0) --size;
  return size >= 2 && bytes[size - 2] == 0xFF && bytes[size - 1] == JPEG_EOI;
}

/// Whether a part of the image can be decoded with the pixels of the whole image. Only files of one
/// scan without arithmetic coding gain much by it. Larger sampling factors than 2 are rare, and
/// some of them give other pixels. Before version 2.1, libjpeg-turbo had errors in it.
inline bool can_cut_jpeg(jpeg_decompress_struct& info, std::span<const std::uint8_t> bytes) {
#if defined(LIBJPEG_TURBO_VERSION_NUMBER) && LIBJPEG_TURBO_VERSION_NUMBER >= 2001000
  return !info.progressive_mode && !info.arith_code && jpeg_has_multiple_scans(&info) == FALSE &&
         info.max_h_samp_factor <= 2 && info.max_v_samp_factor <= 2 && ends_with_jpeg(bytes);
#else
  static_cast<void>(info);
  static_cast<void>(bytes);
  return false;
#endif
}

/// Skips what is outside of `needed`, in pixels of the output, after jpeg_start_decompress. A
/// margin of one MCU stays on the left, the right and above, because the interpolation of colors
/// reads beyond the box and the library treats the columns at its borders in another way.
inline void skip_around(jpeg_decompress_struct& info, const PixelBox& needed, ImageRegion& region) {
#if defined(LIBJPEG_TURBO_VERSION_NUMBER) && LIBJPEG_TURBO_VERSION_NUMBER >= 2001000
  const std::int64_t width = info.output_width;
  const std::int64_t block = 8 / region.reduction;
  const std::int64_t mcu_width = block * info.max_h_samp_factor;
  const std::int64_t mcu_height = block * info.max_v_samp_factor;
  const std::int64_t left = std::max<std::int64_t>(needed.left / mcu_width - 1, 0) * mcu_width;
  const std::int64_t right = std::min(needed.left + needed.width + mcu_width, width);
  if (left > 0 || right < width) {
    auto first = static_cast<JDIMENSION>(left);
    auto columns = static_cast<JDIMENSION>(right - left);
    jpeg_crop_scanline(&info, &first, &columns);
    region.left = first;
  }
  const std::int64_t rows = std::max<std::int64_t>(needed.top / mcu_height - 1, 0) * mcu_height;
  while (info.output_scanline < rows)
    if (jpeg_skip_scanlines(&info, static_cast<JDIMENSION>(rows) - info.output_scanline) == 0)
      ERREXIT(&info, JERR_BAD_STATE);
#else
  static_cast<void>(info);
  static_cast<void>(needed);
  static_cast<void>(region);
#endif
}

/// Reads the header. Returns false on an error. Like read_jpeg_pixels, it makes calls that may
/// jump, and has no object with a destructor.
inline bool read_jpeg_header(JpegDecoder& decoder, std::span<const std::uint8_t> bytes) {
  jpeg_decompress_struct& info = decoder.info;
  if (setjmp(decoder.on_error) != 0) return false;
  jpeg_create_decompress(&info);
  info.client_data = &decoder;
  info.progress = &decoder.progress;
  jpeg_mem_src(&info, bytes.data(), static_cast<unsigned long>(bytes.size()));
  jpeg_read_header(&info, TRUE);
  return true;
}

/// Decodes at least `box` after read_jpeg_header, with the reduction of `region`, and sets the
/// place of the pixels. Returns false on an error.
inline bool read_jpeg_pixels(JpegDecoder& decoder, std::span<const std::uint8_t> bytes,
                             const PixelBox& box, RgbImage& image, ImageRegion& region) {
  jpeg_decompress_struct& info = decoder.info;
  if (setjmp(decoder.on_error) != 0) return false;
  const bool cmyk = info.num_components == 4;
  info.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  info.scale_num = 1;
  info.scale_denom = static_cast<unsigned>(region.reduction);
  jpeg_start_decompress(&info);
  std::int64_t top = 0;
  std::int64_t bottom = info.output_height;
  if (can_cut_jpeg(info, bytes)) {
    const auto up = [&](std::int64_t side) {
      return (side + region.reduction - 1) / region.reduction;
    };
    const PixelBox needed{box.left / region.reduction, box.top / region.reduction,
                          up(box.left + box.width) - box.left / region.reduction,
                          up(box.top + box.height) - box.top / region.reduction};
    skip_around(info, needed, region);
    top = needed.top;
    bottom = std::min(bottom, needed.top + needed.height);
  }
  region.top = top;
  image.reshape(info.output_width, bottom - top);
  if (cmyk) decoder.cmyk_row.resize(std::size_t{info.output_width} * 4);
  while (info.output_scanline < bottom) {
    // Rows above the box are overwritten by its first row.
    const std::int64_t row = std::max<std::int64_t>(info.output_scanline, top) - top;
    if (cmyk) {
      JSAMPROW ink = decoder.cmyk_row.data();
      jpeg_read_scanlines(&info, &ink, 1);
      cmyk_to_rgb(decoder.cmyk_row.data(), image.row(row), info.output_width);
      continue;
    }
    JSAMPROW rows[8];
    JDIMENSION count = 0;
    const std::int64_t left = (info.output_scanline < top ? top : bottom) - info.output_scanline;
    for (; count < std::min<std::int64_t>(left, 8); ++count)
      rows[count] = image.row(info.output_scanline < top ? 0 : row + count);
    jpeg_read_scanlines(&info, rows, count);
  }
  return true;
}

/// A JPEG of which first the header is read and then a part is decoded: baseline or progressive;
/// grayscale, YCbCr, RGB, and CMYK or YCCK as Adobe writes them (inverted). EXIF orientation is
/// ignored, as PIL does when it opens a file.
class JpegFile {
 public:
  /// Reads the header of `bytes`, which must live as long as this. Raises DataError if it is
  /// corrupt or has more than `max_pixels` pixels (0: no limit).
  JpegFile(std::span<const std::uint8_t> bytes, std::int64_t max_pixels) : bytes_(bytes) {
    if (!read_jpeg_header(decoder_, bytes))
      throw DataError(std::string("JPEG: ") + decoder_.message);
    const std::int64_t pixels = width() * height();
    if (max_pixels > 0 && pixels > max_pixels)
      throw DataError("JPEG: " + std::to_string(pixels) + " pixels are more than max_pixels (" +
                      std::to_string(max_pixels) + ")");
  }

  [[nodiscard]] std::int64_t width() const { return decoder_.info.image_width; }
  [[nodiscard]] std::int64_t height() const { return decoder_.info.image_height; }

  /// Decodes as ImageDecoder::decode() says. Call it once. Raises DataError for corrupt or
  /// truncated data.
  [[nodiscard]] ImageRegion decode(const PixelBox& box, std::int64_t reduction, RgbImage& image) {
    ImageRegion region{.width = width(), .height = height(), .reduction = reduction};
    if (!read_jpeg_pixels(decoder_, bytes_, box, image, region))
      throw DataError(std::string("JPEG: ") + decoder_.message);
    return region;
  }

 private:
  std::span<const std::uint8_t> bytes_;
  JpegDecoder decoder_;
};

}  // namespace contrapunto::detail
