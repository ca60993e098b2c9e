// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "contrapunto/compress/teacher_settings.hpp"
#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/distilled_embeddings.hpp"
#include "contrapunto/core/loss_terms.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/loss/affinity_loss.hpp"
#include "contrapunto/loss/feature_distillation.hpp"
#include "contrapunto/loss/interactive_loss.hpp"
#include "contrapunto/loss/loss_sum.hpp"
#include "contrapunto/loss/tile_options.hpp"

namespace contrapunto {

struct DistillationLossOptions {
  TileOptions tiles = {};
  bool ring = false;  ///< See AffinityLossOptions::ring.
};

/// Returns the loss of a student that learns as `settings` say: `contrastive`, a loss of its own
/// embeddings, with weight 1 - distillation, affinity mimicking with weight distillation, and
/// FeatureDistillation and InteractiveLoss with theirs. Without teachers in its argument the loss
/// is `contrastive` alone, under its own names.
template <ContrastiveLoss Contrastive>
[[nodiscard]] auto distillation_loss(const TeacherSettings& settings, Contrastive contrastive,
                                     const DistillationLossOptions& options = {},
                                     const Ranks& ranks = {}) {
  AffinityLossOptions affinity{.tiles = options.tiles, .ring = options.ring};
  if (settings.distillation_scale > 0) {
    affinity.student_scale = settings.distillation_scale;
    affinity.share_student_scale = true;
  }
  LossSum sum(
      WeightedLoss{"contrastive", 1 - settings.distillation, contrastive},
      WeightedLoss{"affinity", settings.distillation, AffinityLoss(std::move(affinity), ranks)},
      WeightedLoss{"features", settings.feature_distillation, FeatureDistillation(ranks)},
      WeightedLoss{"interactive", settings.interactive_distillation,
                   InteractiveLoss({.tiles = options.tiles, .ring = options.ring}, ranks)});
  return [contrastive = std::move(contrastive),
          sum = std::move(sum)](const DistilledEmbeddings& e) -> LossTerms {
    if (e.teachers.empty()) return contrastive(e.student);
    return sum(e);
  };
}

}  // namespace contrapunto
