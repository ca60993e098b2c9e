// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <variant>

#include "contrapunto/optim/adamw.hpp"
#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

/// Returns the AdamW options with which CLIP was trained: beta2 0.98 and eps 1e-6 if the image
/// tower is a vision transformer, and 0.999 and 1e-8 if it is a ResNet.
/// Reference: Radford et al. 2021, table 18, https://arxiv.org/abs/2103.00020
[[nodiscard]] inline AdamWRule clip_adamw_options(const ModelConfig& config) {
  return std::holds_alternative<VisionTransformerOptions>(config.image)
             ? AdamWRule{.beta1 = 0.9, .beta2 = 0.98, .eps = 1e-6}
             : AdamWRule{.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
}

}  // namespace contrapunto
