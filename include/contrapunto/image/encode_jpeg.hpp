// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifndef CONTRAPUNTO_HAS_IMAGE
#error "encoding images needs `find_package(Contrapunto COMPONENTS image)` and contrapunto::image"
#endif

#include <c10/util/Exception.h>

#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>  // jpeglib.h uses FILE and does not include it
#include <cstdlib>
#include <vector>

#include <jpeglib.h>

#include "contrapunto/image/rgb_image.hpp"

namespace contrapunto {
namespace detail {

/// As in JpegDecoder, libjpeg reports errors by a jump to `on_error`.
struct JpegEncoder {
  JpegEncoder() {
    info.err = jpeg_std_error(&errors);
    info.client_data = this;
    errors.error_exit = [](j_common_ptr common) {
      auto& self = *static_cast<JpegEncoder*>(common->client_data);
      common->err->format_message(common, self.message);
      std::longjmp(self.on_error, 1);
    };
    errors.output_message = [](j_common_ptr) {};
  }
  ~JpegEncoder() {
    jpeg_destroy_compress(&info);
    std::free(bytes);
  }
  JpegEncoder(const JpegEncoder&) = delete;
  JpegEncoder& operator=(const JpegEncoder&) = delete;

  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  std::jmp_buf on_error{};
  char message[JMSG_LENGTH_MAX] = {};
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
};

/// Makes every call that may jump. Returns false on an error. It has no object with a destructor.
inline bool run_jpeg(JpegEncoder& encoder, const RgbImage& image, int quality) {
  jpeg_compress_struct& info = encoder.info;
  if (setjmp(encoder.on_error) != 0) return false;
  jpeg_create_compress(&info);
  info.client_data = &encoder;
  jpeg_mem_dest(&info, &encoder.bytes, &encoder.size);
  info.image_width = static_cast<JDIMENSION>(image.width());
  info.image_height = static_cast<JDIMENSION>(image.height());
  info.input_components = 3;
  info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, quality, TRUE);
  info.optimize_coding = TRUE;
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    // libjpeg takes a pointer to pixels that it does not change.
    auto* row = const_cast<JSAMPROW>(image.row(info.next_scanline));
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  return true;
}

}  // namespace detail

/// Most pixels of a side of a JPEG image.
constexpr std::int64_t kLargestJpegSide = JPEG_MAX_DIMENSION;

/// Returns the image as a baseline JPEG of `quality` (1 to 100), with the colors at half the
/// resolution (4:2:0) and Huffman tables made for the image, which decodes to the same pixels as
/// with the standard tables from fewer bytes. Raises for a quality out of range, and for an image
/// without pixels or with a side above kLargestJpegSide.
[[nodiscard]] inline std::vector<std::uint8_t> encode_jpeg(const RgbImage& image,
                                                           std::int64_t quality) {
  TORCH_CHECK(1 <= quality && quality <= 100, "encode_jpeg: quality (", quality,
              ") must be from 1 to 100");
  detail::JpegEncoder encoder;
  TORCH_CHECK(detail::run_jpeg(encoder, image, static_cast<int>(quality)),
              "encode_jpeg: ", image.width(), " x ", image.height(), " pixels: ", encoder.message);
  return {encoder.bytes, encoder.bytes + encoder.size};
}

}  // namespace contrapunto
