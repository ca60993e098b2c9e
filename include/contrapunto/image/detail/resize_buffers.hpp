// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "contrapunto/image/detail/resample_taps.hpp"
#include "contrapunto/image/detail/resize_kernels.hpp"
#include "contrapunto/image/image_region.hpp"
#include "contrapunto/image/interpolation.hpp"
#include "contrapunto/image/pixel_box.hpp"
#include "contrapunto/image/rgb_image.hpp"
#include "contrapunto/kernels/detail/resample_weights.hpp"

namespace contrapunto::detail {

/// The implementation of a Resizer, with a choice of the instructions, which tests compare.
class ResizeBuffers {
 public:
  void resize(const RgbImage& source, const ImageRegion& region, PixelBox box, std::int64_t width,
              std::int64_t height, PixelBox window, RgbImage& out, Interpolation interpolation,
              Simd simd) {
    assign(columns_, interpolation, box.left, box.width, region.reduction, region.left, width,
           window.left, window.width);
    assign(lines_, interpolation, box.top, box.height, region.reduction, region.top, height,
           window.top, window.height);
    out.reshape(window.width, window.height);
    prepare(simd);

    // Rows of the source that the second pass needs.
    const std::int64_t top = lines_.first.front();
    const std::int64_t bottom = lines_.first.back() + lines_.count.back();
    const auto bytes = static_cast<std::size_t>(window.width) * 3;
    const std::size_t stride = (bytes + 64) / 64 * 64;  // The kernels write behind a row.
    const std::size_t needed = stride * static_cast<std::size_t>(bottom - top) + 64;
    if (narrow_.size() < needed) narrow_.resize(needed);
    shrink_rows(source, top, bottom, stride, simd);

    for (std::size_t y = 0; y < lines_.first.size(); ++y) {
      const std::uint8_t* rows =
          narrow_.data() + static_cast<std::size_t>(lines_.first[y] - top) * stride;
      std::uint8_t* target = out.row(static_cast<std::int64_t>(y));
      std::size_t done = 0;
#if defined(__x86_64__)
      if (simd == Simd::kAvx512) {
        resample_column_avx512(rows, stride, lines_, line_bytes_, y, target, bytes);
        continue;
      }
      if (simd == Simd::kAvx2)
        done = resample_column_avx2(rows, stride, lines_, line_words_, y, target, bytes);
#endif
      resample_column(rows, stride, lines_, y, target, done, bytes);
    }
  }

 private:
  /// The taps of one axis for pixels of a region that begins at `start`. `begin` and `length` are
  /// those of the box in the whole image, and `window` those in the result.
  static void assign(ResampleTaps& taps, Interpolation interpolation, std::int64_t begin,
                     std::int64_t length, std::int64_t reduction, std::int64_t start,
                     std::int64_t target, std::int64_t window, std::int64_t window_length) {
    const auto part = static_cast<double>(reduction);
    const std::int64_t first = begin / reduction;
    const ResampleAxis axis =
        resample_axis(interpolation, static_cast<double>(begin % reduction) / part,
                      static_cast<double>(length) / part, target);
    taps.assign(axis, window, window_length, first - start);
  }

  /// Brings the weights into the form that the instructions need.
  void prepare(Simd simd) {
    groups_.clear();
#if defined(__x86_64__)
    if (simd == Simd::kAvx512) {
      groups_ = row_groups(columns_);
      if (!groups_.empty()) column_bytes_.assign(columns_);
      line_bytes_.assign(lines_);
    }
    if (simd == Simd::kAvx2) line_words_.assign(lines_);
    if (simd != Simd::kNone && groups_.empty()) column_words_.assign(columns_);
#endif
  }

  void shrink_rows(const RgbImage& source, std::int64_t top, std::int64_t bottom,
                   std::size_t stride, Simd simd) {
    std::int64_t y = top;
    const auto to = [&](std::int64_t row) {
      return narrow_.data() + static_cast<std::size_t>(row - top) * stride;
    };
#if defined(__x86_64__)
    if (simd != Simd::kNone) {
      for (; y < bottom; y += 4) {
        std::array<const std::uint8_t*, 4> rows;
        std::array<std::uint8_t*, 4> targets;
        for (std::int64_t r = 0; r < 4; ++r) {  // The last rows may occur twice.
          rows[static_cast<std::size_t>(r)] = source.row(std::min(y + r, bottom - 1));
          targets[static_cast<std::size_t>(r)] = to(std::min(y + r, bottom - 1));
        }
        if (groups_.empty())
          resample_rows_avx2(rows, columns_, column_words_, targets);
        else
          resample_rows_avx512(rows, column_bytes_, groups_, targets);
      }
    }
#endif
    for (; y < bottom; ++y) resample_row(source.row(y), columns_, to(y));
  }

  ResampleTaps columns_;
  ResampleTaps lines_;
  WordTaps column_words_;
  WordTaps line_words_;
  ByteTaps column_bytes_;
  ByteTaps line_bytes_;
  std::vector<RowGroup> groups_;
  std::vector<std::uint8_t> narrow_;
};

}  // namespace contrapunto::detail
