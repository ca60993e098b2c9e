// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "contrapunto/towers/dual_encoder.hpp"
#include "contrapunto/towers/modified_resnet.hpp"
#include "contrapunto/towers/text_transformer.hpp"
#include "contrapunto/towers/vision_transformer.hpp"

namespace contrapunto {

/// Freezes the image tower but its last `unlocked_groups` groups (see the towers' `lock`). With
/// `freeze_batch_norm_statistics` the batch norms of frozen groups keep their running statistics.
/// Raises for a tower that is not ours. Reference: Zhai et al. 2021,
/// https://arxiv.org/abs/2111.07991
inline void lock_image_tower(DualEncoder& model, std::int64_t unlocked_groups = 0,
                             bool freeze_batch_norm_statistics = false) {
  TORCH_CHECK(unlocked_groups >= 0, "lock_image_tower: unlocked_groups (", unlocked_groups,
              ") must not be negative");
  if (auto* vit = model->visual()->as<VisionTransformerImpl>()) return vit->lock(unlocked_groups);
  if (auto* resnet = model->visual()->as<ModifiedResNetImpl>())
    return resnet->lock(unlocked_groups, freeze_batch_norm_statistics);
  TORCH_CHECK(
      false, "lock_image_tower: tower '", model->visual()->name(),
      "' is neither VisionTransformer nor ModifiedResNet; call set_requires_grad(false) on the "
      "parameters to freeze");
}

/// Freezes the text tower but its last `unlocked_layers` groups (see TextTransformer::lock). Raises
/// for a tower that is not ours.
inline void lock_text_tower(DualEncoder& model, std::int64_t unlocked_layers = 0) {
  TORCH_CHECK(unlocked_layers >= 0, "lock_text_tower: unlocked_layers (", unlocked_layers,
              ") must not be negative");
  auto* text = model->text()->as<TextTransformerImpl>();
  TORCH_CHECK(text != nullptr, "lock_text_tower: tower '", model->text()->name(),
              "' is no TextTransformer; call set_requires_grad(false) on the parameters to freeze");
  text->lock(unlocked_layers);
}

}  // namespace contrapunto
