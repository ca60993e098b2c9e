// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "contrapunto/core/random.hpp"
#include "contrapunto/image/erased_box.hpp"

namespace contrapunto {

/// What takes the place of erased pixels. In brackets: the modes of timm.
enum class ErasingFill {
  kMean,   ///< The mean color [const].
  kColor,  ///< One random color for a box, normal around the mean [rand].
  kNoise,  ///< A random color for every pixel, normal around the mean [pixel].
};

/// Random erasing, drawn as timm draws it. timm erases after the colors are normalized, and we
/// erase uint8 pixels before that. After our normalization the pixels are those of timm except that
/// they are rounded to one of 256 levels, and that a color beyond black or white becomes black or
/// white. kMean thus gives zero within half a level. Reference: Zhong et al. 2017,
/// https://arxiv.org/abs/1708.04896
struct RandomErasing {
  double probability = 0.0;                        ///< Fraction of the images; 0: none, 1: all.
  ErasingFill fill = ErasingFill::kMean;           ///< Of the boxes.
  std::int64_t boxes = 1;                          ///< Each image gets 1 to `boxes` boxes.
  std::array<double, 2> area = {0.02, 1.0 / 3};    ///< Of all boxes, as a fraction of the square's.
  std::array<double, 2> ratio = {0.3, 1.0 / 0.3};  ///< Height divided by width.
  bool operator==(const RandomErasing&) const = default;

  /// Raises for values out of range.
  void check() const {
    TORCH_CHECK(0.0 <= probability && probability <= 1.0, "RandomErasing: probability (",
                probability, ") must be from 0 to 1");
    TORCH_CHECK(boxes >= 1, "RandomErasing: boxes (", boxes, ") must be at least 1");
    TORCH_CHECK(0.0 < area[0] && area[0] <= area[1] && area[1] <= 1.0, "RandomErasing: area (",
                area[0], ", ", area[1], ") must be ascending, above 0 and at most 1");
    TORCH_CHECK(0.0 < ratio[0] && ratio[0] <= ratio[1], "RandomErasing: ratio (", ratio[0], ", ",
                ratio[1], ") must be positive and in ascending order");
  }

  /// Draws the boxes of one image. `mean` and `std` are those of the normalization, of colors from
  /// 0 to 1. A box gets up to ten attempts at a shape that fits into the square, and is otherwise
  /// left out. Nothing is drawn if `probability` is 0.
  [[nodiscard]] std::vector<ErasedBox> draw(const std::array<double, 3>& mean,
                                            const std::array<double, 3>& std,
                                            RandomStream& random) const {
    std::vector<ErasedBox> drawn;
    if (probability == 0.0 || random.uniform() >= probability) return drawn;
    const std::int64_t count = boxes == 1 ? 1 : 1 + random.integer(boxes);
    for (std::int64_t i = 0; i < count; ++i)
      for (int attempt = 0; attempt < 10; ++attempt) {
        const double part = random.uniform(area[0], area[1]) / static_cast<double>(count);
        const double shape = std::exp(random.uniform(std::log(ratio[0]), std::log(ratio[1])));
        ErasedBox box{.width = std::sqrt(part / shape), .height = std::sqrt(part * shape)};
        // timm compares rounded pixels. Fractions make the decision the same for every size.
        if (box.width >= 1.0 || box.height >= 1.0) continue;
        box.top = random.uniform();
        box.left = random.uniform();
        for (std::size_t c = 0; c < 3; ++c) {
          const double shift = fill == ErasingFill::kColor ? std[c] * random.normal() : 0.0;
          box.color[c] = 255.0 * (mean[c] + shift);
          if (fill == ErasingFill::kNoise) box.noise[c] = 255.0 * std[c];
        }
        if (fill == ErasingFill::kNoise) {
          const std::uint64_t high = random.next();
          box.noise_seed = (high << 32) | random.next();
        }
        drawn.push_back(box);
        break;
      }
    return drawn;
  }
};

}  // namespace contrapunto
