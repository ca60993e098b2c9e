// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>
#include <variant>

#include "contrapunto/towers/dual_encoder.hpp"
#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

/// Makes a model with new weights. If `tensor_options` names the meta device, nothing is allocated
/// and no random numbers are drawn, so that a model of any size can be measured. Raises if an
/// `output_dim` differs from `embed_dim`.
[[nodiscard]] inline DualEncoder make_dual_encoder(const ModelConfig& config,
                                                   const at::TensorOptions& tensor_options = {}) {
  const DualEncoderOptions options{config.initial_logit_scale, config.initial_logit_bias};
  return std::visit(
      [&](const auto& image) {
        using Options = std::decay_t<decltype(image)>;
        using ImageTower = std::conditional_t<std::is_same_v<Options, ModifiedResNetOptions>,
                                              ModifiedResNet, VisionTransformer>;
        TORCH_CHECK(
            image.output_dim == config.embed_dim && config.text.output_dim == config.embed_dim,
            "make_dual_encoder: embed_dim is ", config.embed_dim, " but output_dim is ",
            image.output_dim, " for the image tower and ", config.text.output_dim,
            " for the text tower; make all three equal");
        return DualEncoder(ImageTower(image, tensor_options),
                           TextTransformer(config.text, tensor_options), options);
      },
      config.image);
}

}  // namespace contrapunto
