// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cstddef>
#include <utility>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/distilled_embeddings.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/loss/tiled_info_nce.hpp"

namespace contrapunto {

struct InteractiveLossOptions {
  TileOptions tiles = {};
  bool ring = false;  ///< See TiledInfoNceOptions::ring.
};

/// Interactive contrastive learning, CLIP-KD's ICL: the student's images are matched against the
/// teachers' texts, and the student's texts against the teachers' images, each by InfoNCE in one
/// direction with the student's scale. The loss is the mean over both and over the teachers. It is
/// tiled as `TiledInfoNce` and has the same rules for ranks. If the widths differ, it needs
/// with_feature_maps(). Raises without a teacher and for widths that differ.
/// Reference: Yang et al. 2024, https://arxiv.org/abs/2307.12732, section 3.5
class InteractiveLoss {
 public:
  explicit InteractiveLoss(const InteractiveLossOptions& options = {}, Ranks ranks = {})
      : match_({.tiles = options.tiles, .symmetric = false, .ring = options.ring},
               std::move(ranks)) {}

  /// Returns the loss, []. Collective.
  [[nodiscard]] at::Tensor operator()(const DistilledEmbeddings& e) const {
    TORCH_CHECK(!e.teachers.empty(), "InteractiveLoss: there is no teacher");
    at::Tensor sum;
    for (std::size_t k = 0; k < e.teachers.size(); ++k) {
      const auto& teacher = e.teachers[k];
      const auto& s = e.student_for(k);
      const auto both = match_({.x = s.x, .y = teacher.y.detach(), .scale = s.scale}) +
                        match_({.x = s.y, .y = teacher.x.detach(), .scale = s.scale});
      sum = sum.defined() ? sum + both : both;
    }
    return sum / (2.0 * static_cast<double>(e.teachers.size()));
  }

  [[nodiscard]] const Ranks& ranks() const { return match_.ranks(); }

 private:
  TiledInfoNce match_;
};
static_assert(LossOf<InteractiveLoss, DistilledEmbeddings>);

}  // namespace contrapunto
