// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <jpeglib.h>
#include <png.h>
#include <webp/encode.h>

#include "contrapunto/image/rgb_image.hpp"

/// Encoders for tests: small images of every kind that the decoders must read.
namespace contrapunto::test {

/// A smooth picture with an edge, so that lossy encodings stay close to it.
inline RgbImage picture(std::int64_t width, std::int64_t height, int variant = 0) {
  RgbImage image(width, height);
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x) {
      std::uint8_t* p = image.row(y) + x * 3;
      p[0] = static_cast<std::uint8_t>((x * 200) / width + 20);
      p[1] = static_cast<std::uint8_t>((y * 200) / height + 20);
      p[2] = static_cast<std::uint8_t>(x + y > width ? 40 + variant * 7 % 200 : 200);
    }
  return image;
}

inline std::string text(const std::vector<std::uint8_t>& bytes) {
  return {bytes.begin(), bytes.end()};
}

struct JpegFormat {
  int channels = 3;  ///< 1, 3 or 4; four are written as Adobe does, CMYK inverted.
  bool progressive = false;
  int quality = 97;
  std::array<int, 2> sampling = {2, 2};  ///< Of the first component, horizontal and vertical.
  int restart_interval = 0;              ///< In MCUs; 0: none.
  bool separate_scans = false;           ///< A scan for each component, not progressive.
};

inline std::vector<std::uint8_t> encode_jpeg(const std::uint8_t* pixels, int width, int height,
                                             const JpegFormat& format) {
  const int channels = format.channels;
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &buffer, &size);
  info.image_width = static_cast<JDIMENSION>(width);
  info.image_height = static_cast<JDIMENSION>(height);
  info.input_components = channels;
  info.in_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, format.quality, TRUE);
  info.comp_info[0].h_samp_factor = format.sampling[0];
  info.comp_info[0].v_samp_factor = format.sampling[1];
  info.restart_interval = static_cast<unsigned>(format.restart_interval);
  std::vector<jpeg_scan_info> scans(static_cast<std::size_t>(channels));
  for (int c = 0; c < channels; ++c)
    scans[static_cast<std::size_t>(c)] = {1, {c, 0, 0, 0}, 0, 63, 0, 0};
  if (format.progressive) jpeg_simple_progression(&info);
  if (format.separate_scans) {
    info.scan_info = scans.data();
    info.num_scans = channels;
  }
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    auto* row = const_cast<JSAMPROW>(pixels + static_cast<std::size_t>(info.next_scanline) *
                                                  static_cast<std::size_t>(width * channels));
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  std::vector<std::uint8_t> bytes(buffer, buffer + size);
  std::free(buffer);
  return bytes;
}

inline std::vector<std::uint8_t> encode_jpeg(const std::uint8_t* pixels, int width, int height,
                                             int channels, bool progressive = false) {
  return encode_jpeg(pixels, width, height,
                     JpegFormat{.channels = channels, .progressive = progressive});
}

struct PngFormat {
  int type = PNG_COLOR_TYPE_RGB;
  int depth = 8;
  bool interlaced = false;
  std::vector<png_color> palette = {};
  std::vector<std::uint8_t> palette_alpha = {};
};

/// `rows` holds the scan lines as PNG stores them, 16-bit values with the high byte first.
inline std::vector<std::uint8_t> encode_png(const std::vector<std::vector<std::uint8_t>>& rows,
                                            int width, const PngFormat& format) {
  std::vector<std::uint8_t> bytes;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(
      png, &bytes,
      [](png_structp self, png_bytep data, std::size_t count) {
        auto* out = static_cast<std::vector<std::uint8_t>*>(png_get_io_ptr(self));
        out->insert(out->end(), data, data + count);
      },
      nullptr);
  png_set_IHDR(png, info, static_cast<png_uint_32>(width), static_cast<png_uint_32>(rows.size()),
               format.depth, format.type,
               format.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  if (!format.palette.empty())
    png_set_PLTE(png, info, format.palette.data(), static_cast<int>(format.palette.size()));
  if (!format.palette_alpha.empty())
    png_set_tRNS(png, info, format.palette_alpha.data(),
                 static_cast<int>(format.palette_alpha.size()), nullptr);
  std::vector<std::vector<std::uint8_t>> copy = rows;
  std::vector<png_bytep> pointers;
  for (auto& row : copy) pointers.push_back(row.data());
  png_set_rows(png, info, pointers.data());
  png_write_png(png, info, PNG_TRANSFORM_IDENTITY, nullptr);
  png_destroy_write_struct(&png, &info);
  return bytes;
}

inline std::vector<std::uint8_t> encode_webp(const RgbImage& image, bool lossless) {
  std::uint8_t* out = nullptr;
  const int width = static_cast<int>(image.width());
  const int height = static_cast<int>(image.height());
  const std::size_t size = lossless
                               ? WebPEncodeLosslessRGB(image.data(), width, height, width * 3, &out)
                               : WebPEncodeRGB(image.data(), width, height, width * 3, 95.0F, &out);
  std::vector<std::uint8_t> bytes(out, out + size);
  WebPFree(out);
  return bytes;
}

}  // namespace contrapunto::test
