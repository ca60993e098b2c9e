// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include "contrapunto/towers/dual_encoder.hpp"
#include "contrapunto/towers/make_image_tower.hpp"
#include "contrapunto/towers/model_config.hpp"
#include "contrapunto/towers/text_transformer.hpp"

namespace contrapunto {

/// Makes a model with new weights. If `tensor_options` names the meta device, nothing is allocated
/// and no random numbers are drawn, so that a model of any size can be measured. Raises if an
/// `output_dim` differs from `embed_dim`, and for a configuration without a text tower.
[[nodiscard]] inline DualEncoder make_dual_encoder(const ModelConfig& config,
                                                   const at::TensorOptions& tensor_options = {}) {
  TORCH_CHECK(!config.image_only, "make_dual_encoder: '", config.name,
              "' is a model of images alone; build its tower with make_image_tower(), or choose a "
              "model with a text tower");
  TORCH_CHECK(config.text.output_dim == config.embed_dim, "make_dual_encoder: the text tower of '",
              config.name, "' gives features of ", config.text.output_dim,
              " numbers, but embed_dim is ", config.embed_dim, "; set them alike");
  return DualEncoder(make_image_tower(config, tensor_options),
                     TextTransformer(config.text, tensor_options),
                     DualEncoderOptions{config.initial_logit_scale, config.initial_logit_bias});
}

}  // namespace contrapunto
