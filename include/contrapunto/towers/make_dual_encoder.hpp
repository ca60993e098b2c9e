// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>
#include <variant>

#include "contrapunto/towers/dual_encoder.hpp"
#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

/// A new model with fresh weights. With `where` on the meta device nothing is allocated or drawn,
/// so that a model of any size can be counted. Raises when an `output_dim` differs from
/// `embed_dim`.
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
            "make_dual_encoder: embed_dim is ", config.embed_dim,
            " but output_dim of the image tower ", image.output_dim, " and of the text tower ",
            config.text.output_dim);
        return DualEncoder(ImageTower(image, tensor_options),
                           TextTransformer(config.text, tensor_options), options);
      },
      config.image);
}

}  // namespace contrapunto
