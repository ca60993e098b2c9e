// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <type_traits>
#include <variant>

#include "contrapunto/towers/any_tower.hpp"
#include "contrapunto/towers/model_config.hpp"
#include "contrapunto/towers/modified_resnet.hpp"
#include "contrapunto/towers/vision_transformer.hpp"

namespace contrapunto {

/// The image tower of `config` with fresh weights; its features are [B, embed_dim]. Raises if the
/// options of the tower have another output_dim.
[[nodiscard]] inline AnyTower make_image_tower(const ModelConfig& config,
                                               const at::TensorOptions& tensor_options = {}) {
  return std::visit(
      [&](const auto& image) -> AnyTower {
        TORCH_CHECK(image.output_dim == config.embed_dim, "make_image_tower: the image tower of '",
                    config.name, "' gives features of ", image.output_dim,
                    " numbers, but embed_dim is ", config.embed_dim, "; set them alike");
        using Options = std::decay_t<decltype(image)>;
        using ImageTower = std::conditional_t<std::is_same_v<Options, ModifiedResNetOptions>,
                                              ModifiedResNet, VisionTransformer>;
        return ImageTower(image, tensor_options);
      },
      config.image);
}

}  // namespace contrapunto
