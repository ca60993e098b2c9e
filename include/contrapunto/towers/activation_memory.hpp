// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>

#include <cstdint>

#include "contrapunto/towers/forward_gflops.hpp"

namespace contrapunto {

/// Estimates, from the shapes, the bytes of activations that one pair keeps for the backward pass.
/// For the towers of the library the estimate is within about a fifth. `element_bytes` is 4 for
/// float32 and 2 with bf16 or fp16. `text_tokens` is the length to which texts are trimmed; 0 means
/// the longest. Raises for a tower that does not report its cost.
[[nodiscard]] inline double activation_bytes(const DualEncoder& model, double element_bytes,
                                             std::int64_t text_tokens = 0) {
  const auto kept = [&](const AnyTower& tower) {
    return detail::tower_cost(tower, text_tokens, "activation_bytes").kept_elements;
  };
  return element_bytes * (kept(model->x_tower()) + kept(model->y_tower()));
}

/// The same for a configuration, without allocating its weights.
[[nodiscard]] inline double activation_bytes(const ModelConfig& config, double element_bytes,
                                             std::int64_t text_tokens = 0) {
  const at::Device meta(at::kMeta);
  if (!config.image_only)
    return activation_bytes(make_dual_encoder(config, meta), element_bytes, text_tokens);
  const auto tower = make_image_tower(config, meta);
  return element_bytes * detail::tower_cost(tower, 0, "activation_bytes").kept_elements;
}

}  // namespace contrapunto
