// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "contrapunto/core/detail/host_device.hpp"
#include "contrapunto/core/detail/random_words.hpp"
#include "contrapunto/kernels/detail/augment_row.hpp"
#include "contrapunto/kernels/detail/color_pixels.hpp"
#include "contrapunto/kernels/detail/resample_weights.hpp"

/// The augmentation of one image by a team of threads: a block of a GPU, or one thread of the host.
namespace contrapunto::detail {

/// Memory of a team for images of at most `width` x `height` pixels, in one piece of `bytes()`
/// bytes.
struct AugmentWorkspace {
  std::int64_t size = 0;  ///< Side of the square.
  std::int64_t column_taps = 0;
  std::int64_t line_taps = 0;
  std::int64_t height = 0;

  CONTRAPUNTO_HOST_DEVICE AugmentWorkspace(bool is_cubic, std::int64_t side, std::int64_t width,
                                           std::int64_t most_height)
      : size(side),
        column_taps(most_taps(is_cubic, width)),
        line_taps(most_taps(is_cubic, most_height)),
        height(most_height) {}

  /// First taps, numbers of taps and weights of both axes; the narrow image; the square.
  [[nodiscard]] CONTRAPUNTO_HOST_DEVICE std::int64_t bytes() const {
    const std::int64_t all = 4 * size * (4 + column_taps + line_taps) + 3 * size * (height + size);
    return (all + 15) / 16 * 16;
  }

 private:
  [[nodiscard]] CONTRAPUNTO_HOST_DEVICE std::int64_t most_taps(bool is_cubic,
                                                               std::int64_t source) const {
    return ResampleAxis(is_cubic, 0.0, static_cast<double>(source), size).most_taps();
  }
};

/// The taps of one axis in a workspace. Weight k of target pixel i is at k * size + i, so that
/// neighboring threads read neighboring weights.
struct TeamTaps {
  std::int32_t* first;    // [size]
  std::int32_t* count;    // [size]
  std::int32_t* weights;  // [taps, size]
};

/// Computes the taps of target pixel `i`.
CONTRAPUNTO_HOST_DEVICE inline void compute_taps(const ResampleAxis& axis, std::int64_t size,
                                                 std::int64_t i, const TeamTaps& taps) {
  const TapRange range = axis.range(i);
  taps.first[i] = static_cast<std::int32_t>(range.from);
  taps.count[i] = static_cast<std::int32_t>(range.to - range.from);
  double sum = 0.0;
  for (std::int64_t x = range.from; x < range.to; ++x) sum += axis.weight(i, x);
  for (std::int64_t x = range.from; x < range.to; ++x)
    taps.weights[(x - range.from) * size + i] = ResampleAxis::fixed(axis.weight(i, x), sum);
}

/// Computes one pixel from the taps of target pixel `i`. `line` is the first pixel of the row or
/// column, and `stride` the distance of two of its pixels in bytes.
CONTRAPUNTO_HOST_DEVICE inline void resample_pixel(const std::uint8_t* line, std::int64_t stride,
                                                   const TeamTaps& taps, std::int64_t size,
                                                   std::int64_t i, std::uint8_t* out) {
  const std::uint8_t* pixel = line + taps.first[i] * stride;
  const std::int32_t* weights = taps.weights + i;
  std::int32_t sum[3] = {};
  for (std::int32_t k = 0; k < taps.count[i]; ++k, pixel += stride, weights += size)
    for (int c = 0; c < 3; ++c) sum[c] += *weights * pixel[c];
  for (int c = 0; c < 3; ++c) out[c] = round_pixel(sum[c]);
}

/// `mean` is that of the lumas of the image.
CONTRAPUNTO_HOST_DEVICE inline void change_color(std::uint8_t* p, const RowColorChange& change,
                                                 int mean) {
  if (change.kind == RowColorChange::kHue)
    return rotate_hue(p, static_cast<std::uint8_t>(change.hue_steps));
  const int from = change.kind == RowColorChange::kBrightness ? 0
                   : change.kind == RowColorChange::kContrast ? mean
                                                              : luma(p);
  for (int c = 0; c < 3; ++c) p[c] = blend(from, p[c], change.factor);
}

/// Erases the pixel at column `x` and row `y` if it is in a box; of several, the last one counts.
CONTRAPUNTO_HOST_DEVICE inline void erase_pixel(std::uint8_t* p, const AugmentRow& row,
                                                const RowErasedBox* boxes, std::int64_t x,
                                                std::int64_t y) {
  for (std::int32_t i = row.erased_count - 1; i >= 0; --i) {
    const RowErasedBox& box = boxes[row.erased + i];
    const std::int64_t column = x - box.left;
    const std::int64_t line = y - box.top;
    if (column < 0 || column >= box.width || line < 0 || line >= box.height) continue;
    const bool is_noisy = box.noise[0] > 0.0 || box.noise[1] > 0.0 || box.noise[2] > 0.0;
    for (int c = 0; c < 3; ++c) {
      double normal = 0.0;
      if (is_noisy) {  // Each normal number of a RandomStream takes four words.
        const auto place = static_cast<std::uint32_t>((line * box.width + column) * 3 + c);
        const RandomWords words =
            philox_words({{place, 0, 0, 0}}, static_cast<std::uint32_t>(box.noise_seed),
                         static_cast<std::uint32_t>(box.noise_seed >> 32));
        normal = normal_of_uniforms(uniform_of_words(words.at[0], words.at[1]),
                                    uniform_of_words(words.at[2], words.at[3]));
      }
      p[c] = noisy_level(box.color[c], box.noise[c], normal);
    }
    return;
  }
}

/// Calls `write(place, pixel)` once for each pixel of the augmented square, with its place row *
/// size + column. The bytes are those of ImageTransform::apply() for the crop that is stored at
/// `pixels`. All threads of the team call this with the same arguments; `memory` has the bytes of
/// `space`. A place in the square, and in `space.height` rows of it, has 32 bits. The number of a
/// thread in the team is team.rank(). team.sync() waits for all of them, and team.sum(v) adds up
/// their `v` and returns the sum to each.
template <class Team, class Write>
CONTRAPUNTO_HOST_DEVICE void augment_image(const std::uint8_t* pixels, const AugmentRow& row,
                                           const RowErasedBox* boxes, bool is_cubic,
                                           const AugmentWorkspace& space, std::uint8_t* memory,
                                           Team& team, const Write& write) {
  const std::int64_t size = space.size;
  auto* numbers = reinterpret_cast<std::int32_t*>(memory);
  const TeamTaps columns{numbers, numbers + size, numbers + 4 * size};
  const TeamTaps lines{numbers + 2 * size, numbers + 3 * size,
                       numbers + (4 + space.column_taps) * size};
  std::uint8_t* narrow = memory + 4 * size * (4 + space.column_taps + space.line_taps);
  std::uint8_t* square = narrow + 3 * size * space.height;

  const ResampleAxis across(is_cubic, row.crop_left, row.crop_width, size);
  const ResampleAxis down(is_cubic, row.crop_top, row.crop_height, size);
  for (std::int64_t i = team.rank(); i < 2 * size; i += team.size()) {
    if (i < size)
      compute_taps(across, size, i, columns);
    else
      compute_taps(down, size, i - size, lines);
  }
  team.sync();

  // 32 bits suffice for the places of pixels, and divide faster on a GPU.
  const auto side = static_cast<std::uint32_t>(size);
  const std::uint32_t narrow_pixels = static_cast<std::uint32_t>(row.height) * side;
  for (std::uint32_t i = team.rank(); i < narrow_pixels; i += team.size())
    resample_pixel(pixels + std::int64_t{i / side} * row.width * 3, 3, columns, size, i % side,
                   narrow + 3 * std::int64_t{i});
  team.sync();

  // A contrast needs the mean of all pixels as they are before it, so the other changes between two
  // contrasts are applied in one pass. A thread always has the same pixels.
  const std::int32_t count = row.change_count;
  int mean = 0;
  std::int32_t done = 0;
  for (bool first = true, last = false; !last; first = false) {
    std::int32_t stop = first ? 0 : done + 1;
    while (stop < count && row.changes[stop].kind != RowColorChange::kContrast) ++stop;
    last = stop == count;
    std::uint64_t sum = 0;
    for (std::uint32_t at = team.rank(); at < side * side; at += team.size()) {
      const std::int64_t i = at;
      const std::int64_t y = at / side;
      const std::int64_t x = at % side;
      std::uint8_t p[3] = {0, 0, 0};
      if (first) {
        const std::int64_t column = (row.flip ? size - 1 - x : x) - row.left;
        const std::int64_t line = y - row.top;
        if (0 <= column && column < size && 0 <= line && line < size)
          resample_pixel(narrow + 3 * column, 3 * size, lines, size, line, p);
      } else {
        for (int c = 0; c < 3; ++c) p[c] = square[3 * i + c];
      }
      for (std::int32_t k = done; k < stop; ++k) change_color(p, row.changes[k], mean);
      if (!last) {
        sum += luma(p);
        for (int c = 0; c < 3; ++c) square[3 * i + c] = p[c];
        continue;
      }
      if (row.grayscale) p[0] = p[1] = p[2] = luma(p);
      for (int c = 0; c < 3; ++c)
        if (p[c] >= row.solarize_from) p[c] = static_cast<std::uint8_t>(255 - p[c]);
      erase_pixel(p, row, boxes, x, y);
      write(i, p);
    }
    if (!last) mean = mean_luma(team.sum(sum), size * size);
    done = stop;
  }
  team.sync();  // The memory may be used for another image now.
}

}  // namespace contrapunto::detail
