// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/tensor.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "contrapunto/core/batch.hpp"
#include "contrapunto/core/hash.hpp"
#include "contrapunto/core/mixed_label_names.hpp"
#include "contrapunto/core/random.hpp"
#include "contrapunto/image/detail/draw_beta.hpp"
#include "contrapunto/image/mix_images.hpp"
#include "contrapunto/image/mixed_row.hpp"

namespace contrapunto {

/// Which images of a batch are mixed with each other, and which of them share what is drawn.
enum class MixupMode {
  kBatch,    ///< One draw for a batch; image i is mixed with image B - 1 - i, as in timm [batch].
  kPair,     ///< One draw for each such pair [pair].
  kElement,  ///< One draw for each image [elem].
  kRolled,   ///< big_vision's: one draw for a batch, whose larger part is the image's own; image i
             ///< is mixed with image i - 1. Mixup only.
};

/// Mixup and CutMix of the images of a batch, drawn as timm and big_vision draw them. Both take a
/// share lambda of an image and 1 - lambda of its partner, where lambda is drawn from a symmetric
/// beta distribution. Mixup blends all pixels; CutMix replaces a rectangle of about 1 - lambda of
/// the area, which is cut off at the border, and takes lambda from the area that is left. In
/// kBatch, kPair and kElement the middle image of an odd number has itself as its partner.
/// References: Zhang et al. 2017, https://arxiv.org/abs/1710.09412; Yun et al. 2019,
/// https://arxiv.org/abs/1905.04899
struct Mixup {
  double mixup = 0.0;         ///< Parameter of the beta distribution of mixup; 0: no mixup.
  double cutmix = 0.0;        ///< That of CutMix; 0: no CutMix.
  double probability = 1.0;   ///< Of mixing the images of a draw.
  double cutmix_share = 0.5;  ///< Fraction of the draws that are CutMix, if there are both.
  MixupMode mode = MixupMode::kBatch;
  bool operator==(const Mixup&) const = default;

  /// Whether images are mixed at all.
  [[nodiscard]] bool enabled() const { return (mixup > 0.0 || cutmix > 0.0) && probability > 0.0; }

  /// Raises for values out of range, and for CutMix in the mode kRolled.
  void check() const {
    TORCH_CHECK(0.0 <= mixup && std::isfinite(mixup), "Mixup: mixup (", mixup,
                ") must be at least 0 and finite");
    TORCH_CHECK(0.0 <= cutmix && std::isfinite(cutmix), "Mixup: cutmix (", cutmix,
                ") must be at least 0 and finite");
    TORCH_CHECK(0.0 <= probability && probability <= 1.0, "Mixup: probability (", probability,
                ") must be from 0 to 1");
    TORCH_CHECK(0.0 <= cutmix_share && cutmix_share <= 1.0, "Mixup: cutmix_share (", cutmix_share,
                ") must be from 0 to 1");
    TORCH_CHECK(mode != MixupMode::kRolled || cutmix == 0.0, "Mixup: cutmix is ", cutmix,
                ", but the mode kRolled has no CutMix; choose another mode, or set cutmix to 0");
  }

  /// Draws what becomes of `rows` images of `height` x `width` pixels. Raises as check() does.
  [[nodiscard]] std::vector<MixedRow> draw(std::int64_t rows, std::int64_t height,
                                           std::int64_t width, RandomStream& random) const {
    check();
    std::vector<MixedRow> mixed(static_cast<std::size_t>(rows));
    const auto at = [&](std::int64_t i) -> MixedRow& { return mixed[static_cast<std::size_t>(i)]; };
    const bool alike = mode == MixupMode::kBatch || mode == MixupMode::kRolled;
    const std::int64_t draws = alike ? 1 : mode == MixupMode::kPair ? rows / 2 : rows;
    for (std::int64_t i = 0; i < rows; ++i) {
      if (i < draws)
        at(i) = draw_one(height, width, random);
      else if (alike)
        at(i) = at(0);
      else if (i >= (rows + 1) / 2)
        at(i) = at(rows - 1 - i);
    }
    for (std::int64_t i = 0; i < rows; ++i)
      at(i).partner = mode == MixupMode::kRolled ? (i + rows - 1) % rows : rows - 1 - i;
    return mixed;
  }

  /// Mixes "image", uint8 [B, 3, H, W], on its device, and adds the labels of the partners and the
  /// weights to "label"; see core/mixed_label_names.hpp. Apply it to
  /// the whole batch of a rank, before a step strategy splits it: the result then does not depend
  /// on the chunks. It is a pure function of its arguments. The ranks mix their parts of a batch
  /// by themselves. Raises as check() and mix_images() do.
  [[nodiscard]] Batch operator()(Batch batch, std::uint64_t seed, std::int64_t step,
                                 std::int64_t rank = 0) const {
    const auto images = batch.at("image"), label = batch.at(kLabelName);
    TORCH_CHECK(images.dim() == 4, "Mixup: images are ", images.sizes(), ", expected [B, 3, H, W]");
    // A key of its own, because steps also draw dropout from rank_seed().
    RandomStream random(std::bit_cast<std::uint64_t>(
        hash_of("mixup", std::bit_cast<std::int64_t>(rank_seed(seed, step, rank)))));
    const auto rows = draw(images.size(0), images.size(2), images.size(3), random);
    batch.tensors["image"] = mix_images(images, rows);
    std::vector<std::int64_t> partners;
    std::vector<float> weights;
    for (const auto& row : rows) {
      partners.push_back(row.partner);
      weights.push_back(static_cast<float>(row.weight));
    }
    batch.tensors[kMixedLabelName] =
        label.index_select(0, at::tensor(partners, at::kLong).to(label.device()));
    batch.tensors[kLabelWeightName] = at::tensor(weights, at::kFloat).to(label.device());
    return batch;
  }

 private:
  [[nodiscard]] MixedRow draw_one(std::int64_t height, std::int64_t width,
                                  RandomStream& random) const {
    if (!enabled() || random.uniform() >= probability) return {};
    const bool cuts = cutmix > 0.0 && (mixup == 0.0 || random.uniform() < cutmix_share);
    double lambda = detail::draw_beta(cuts ? cutmix : mixup, random);
    if (!cuts) {
      if (mode == MixupMode::kRolled) lambda = std::max(lambda, 1.0 - lambda);
      return {.box = {.width = width, .height = height}, .own = lambda, .weight = lambda};
    }
    const double side = std::sqrt(1.0 - lambda);
    const auto span = [&](std::int64_t size) {  // First pixel and number of pixels.
      const auto cut = static_cast<std::int64_t>(static_cast<double>(size) * side);
      const auto center = random.integer(size);
      const auto first = std::clamp<std::int64_t>(center - cut / 2, 0, size);
      return std::pair(first, std::clamp<std::int64_t>(center + (cut + 1) / 2, 0, size) - first);
    };
    const auto [top, tall] = span(height);
    const auto [left, wide] = span(width);
    return {.box = {left, top, wide, tall},
            .own = 0.0,
            .weight = 1.0 - static_cast<double>(tall * wide) / static_cast<double>(height * width)};
  }
};

}  // namespace contrapunto
