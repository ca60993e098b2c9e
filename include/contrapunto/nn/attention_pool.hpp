// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cmath>
#include <cstdint>

#include "contrapunto/nn/attention.hpp"
#include "contrapunto/nn/layer_norm.hpp"
#include "contrapunto/nn/linear.hpp"
#include "contrapunto/nn/mlp.hpp"
#include "contrapunto/nn/residual_attention_block.hpp"
#include "contrapunto/nn/token_grid.hpp"

namespace contrapunto {

struct AttentionPoolOptions {
  std::int64_t width = 768;
  std::int64_t heads = 12;     ///< Must divide `width`.
  std::int64_t hidden = 3072;  ///< Width inside the MLP.
  double weight_std = 0.02;    ///< Standard deviation of every matrix; the latent query has
                               ///< width^-1/2, truncated at 2 std.
  double layer_norm_eps = 1e-6;
};

/// Multi-head attention pooling (MAP) of one learned query over all tokens, followed by a residual
/// MLP.
/// Reference: Zhai et al. 2022, https://arxiv.org/abs/2106.04560
class AttentionPoolImpl : public torch::nn::Module {
 public:
  explicit AttentionPoolImpl(AttentionPoolOptions options,
                             const at::TensorOptions& tensor_options = {})
      : width_(options.width), heads_(options.heads) {
    TORCH_CHECK(heads_ > 0 && width_ % heads_ == 0, "AttentionPool: width (", width_,
                ") must be a multiple of heads (", heads_, ")");
    const auto linear = [&](std::int64_t out) {
      return Linear(LinearOptions{.in_features = width_,
                                  .out_features = out,
                                  .weight_std = options.weight_std,
                                  .zero_bias = true},
                    tensor_options);
    };
    latent = register_parameter(
        "latent",
        detail::truncated_normal_tensor(
            {1, 1, width_}, 1.0 / std::sqrt(static_cast<double>(width_)), tensor_options));
    q = register_module("q", linear(width_));
    kv = register_module("kv", linear(2 * width_));
    proj = register_module("proj", linear(width_));
    norm = register_module("norm", LayerNorm(width_, options.layer_norm_eps, tensor_options));
    mlp = register_module("mlp", Mlp(MlpOptions{.width = width_,
                                                .hidden = options.hidden,
                                                .c_fc_std = options.weight_std,
                                                .c_proj_std = options.weight_std,
                                                .zero_bias = true},
                                     tensor_options));
  }

  /// Maps tokens [batch * L, width] to [batch, width].
  [[nodiscard]] at::Tensor forward(const at::Tensor& x, const TokenGrid& grid) {
    // The query is the same for every image, so it is projected once.
    const auto query = q(latent.view({1, width_})).expand({grid.batch, width_});
    const auto weights = kv->effective_weight(kv->weight).split(width_);
    const auto biases = kv->bias.split(width_);
    const auto pooled =
        proj(detail::attend_once(query, x.view({grid.batch, grid.length(), width_}), weights[0],
                                 biases[0], weights[1], biases[1], heads_));
    return detail::add_residual(pooled, mlp(norm(pooled)));
  }

  [[nodiscard]] std::int64_t heads() const { return heads_; }

  at::Tensor latent;  ///< [1, 1, width]
  Linear q = nullptr;
  Linear kv = nullptr;
  Linear proj = nullptr;
  LayerNorm norm = nullptr;
  Mlp mlp = nullptr;

 private:
  std::int64_t width_;
  std::int64_t heads_;
};
TORCH_MODULE(AttentionPool);

}  // namespace contrapunto
