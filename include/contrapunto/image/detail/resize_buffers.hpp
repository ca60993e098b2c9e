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
#include "contrapunto/image/interpolation.hpp"
#include "contrapunto/image/pixel_box.hpp"
#include "contrapunto/image/rgb_image.hpp"

namespace contrapunto::detail {

/// The implementation of a Resizer, with a choice between plain loops and AVX2, which tests
/// compare.
class ResizeBuffers {
 public:
  void resize(const RgbImage& source, PixelBox box, std::int64_t width, std::int64_t height,
              PixelBox window, RgbImage& out, Interpolation interpolation, bool use_avx2) {
    columns_.assign(interpolation, box.width, width, window.left, window.width);
    lines_.assign(interpolation, box.height, height, window.top, window.height);
    out.reshape(window.width, window.height);

    // Rows of the source that the second pass needs.
    const std::int64_t top = lines_.first.front();
    const std::int64_t bottom = lines_.first.back() + lines_.count.back();
    const std::size_t stride = static_cast<std::size_t>(window.width) * 3 + 32;
    const std::size_t needed = stride * static_cast<std::size_t>(bottom - top);
    if (narrow_.size() < needed) narrow_.resize(needed);
    shrink_rows(source, box, top, bottom, stride, use_avx2);

    const auto bytes = static_cast<std::size_t>(window.width) * 3;
    for (std::size_t y = 0; y < lines_.first.size(); ++y) {
      const std::uint8_t* rows =
          narrow_.data() + static_cast<std::size_t>(lines_.first[y] - top) * stride;
      std::uint8_t* target = out.row(static_cast<std::int64_t>(y));
      std::size_t done = 0;
#if defined(__x86_64__)
      if (use_avx2) done = resample_column_avx2(rows, stride, lines_, y, target, bytes);
#endif
      resample_column(rows, stride, lines_, y, target, done, bytes);
    }
  }

 private:
  void shrink_rows(const RgbImage& source, PixelBox box, std::int64_t top, std::int64_t bottom,
                   std::size_t stride, bool use_avx2) {
    std::int64_t y = top;
    const auto from = [&](std::int64_t row) { return source.row(box.top + row) + box.left * 3; };
    const auto to = [&](std::int64_t row) {
      return narrow_.data() + static_cast<std::size_t>(row - top) * stride;
    };
#if defined(__x86_64__)
    if (use_avx2) {
      for (; y < bottom; y += 4) {
        std::array<const std::uint8_t*, 4> rows;
        std::array<std::uint8_t*, 4> targets;
        for (std::int64_t r = 0; r < 4; ++r) {  // The last rows may occur twice.
          rows[static_cast<std::size_t>(r)] = from(std::min(y + r, bottom - 1));
          targets[static_cast<std::size_t>(r)] = to(std::min(y + r, bottom - 1));
        }
        resample_rows_avx2(rows, columns_, targets);
      }
    }
#endif
    for (; y < bottom; ++y) resample_row(from(y), columns_, to(y));
  }

  ResampleTaps columns_;
  ResampleTaps lines_;
  std::vector<std::uint8_t> narrow_;
};

}  // namespace contrapunto::detail
