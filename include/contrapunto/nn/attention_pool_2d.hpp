// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ops/cat.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cmath>
#include <cstdint>

#include "contrapunto/nn/attention.hpp"
#include "contrapunto/nn/linear.hpp"
#include "contrapunto/nn/positional_embedding.hpp"

namespace contrapunto {

struct AttentionPool2dOptions {
  std::int64_t grid = 7;      ///< Height and width of the feature map.
  std::int64_t width = 2048;  ///< Channels of the feature map.
  std::int64_t heads = 32;    ///< Must divide `width`.
  std::int64_t output_dim = 1024;
};

/// Attention pooling of a feature map. The query is the mean of the map, and learned positional
/// embeddings are added first.
/// Reference: Radford et al. 2021, https://arxiv.org/abs/2103.00020
class AttentionPool2dImpl : public torch::nn::Module {
 public:
  explicit AttentionPool2dImpl(AttentionPool2dOptions options,
                               const at::TensorOptions& tensor_options = {})
      : width_(options.width), heads_(options.heads) {
    TORCH_CHECK(heads_ > 0 && width_ % heads_ == 0, "AttentionPool2d: width (", width_,
                ") must be a multiple of heads (", heads_, ")");
    const double all_std = 1.0 / std::sqrt(static_cast<double>(width_));
    positional_embedding = register_parameter(
        "positional_embedding",
        detail::normal_tensor({options.grid * options.grid + 1, width_}, all_std, tensor_options));
    const auto linear = [&](std::int64_t out) {
      return Linear(
          LinearOptions{.in_features = width_, .out_features = out, .weight_std = all_std},
          tensor_options);
    };
    k_proj = register_module("k_proj", linear(width_));
    q_proj = register_module("q_proj", linear(width_));
    v_proj = register_module("v_proj", linear(width_));
    c_proj = register_module("c_proj", linear(options.output_dim));
  }

  /// Maps a feature map [B, width, grid, grid] to [B, output_dim]. Only the query of the mean is
  /// computed. A map in channels-last memory format is read without a copy. For a square map of
  /// another size the positions are resized on the way; see resize_grid_positions.
  [[nodiscard]] at::Tensor forward(const at::Tensor& map) {
    const auto cells = map.flatten(2).transpose(1, 2);  // [B, grid^2, width]
    auto tokens = at::cat({cells.mean(1, /*keepdim=*/true), cells}, 1);
    tokens.add_(resize_grid_positions(positional_embedding, /*prefix=*/1, map.size(2))
                    .to(tokens.scalar_type()));
    return c_proj(detail::attend_once(
        q_proj(tokens.select(1, 0)), tokens, k_proj->effective_weight(k_proj->weight), k_proj->bias,
        v_proj->effective_weight(v_proj->weight), v_proj->bias, heads_));
  }

  [[nodiscard]] std::int64_t heads() const { return heads_; }

  at::Tensor positional_embedding;  ///< [grid^2 + 1, width]; the first row is that of the mean.
  Linear k_proj = nullptr;
  Linear q_proj = nullptr;
  Linear v_proj = nullptr;
  Linear c_proj = nullptr;

 private:
  std::int64_t width_;
  std::int64_t heads_;
};
TORCH_MODULE(AttentionPool2d);

}  // namespace contrapunto
