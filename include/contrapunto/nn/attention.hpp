// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ops/linear.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/zeros.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cmath>
#include <cstdint>
#include <optional>

#include "contrapunto/nn/initialize.hpp"
#include "contrapunto/nn/linear.hpp"

namespace contrapunto {

namespace detail {

/// Attention of one query per sequence: query [B, D] over keys and values, both [B, L, heads,
/// D/heads], to [B, D]. `keep` [B, 1, 1, L] is true where a key may be seen.
inline at::Tensor attend_once(const at::Tensor& query, const at::Tensor& keys,
                              const at::Tensor& values,
                              const std::optional<at::Tensor>& keep = std::nullopt) {
  const auto q = query.view({keys.size(0), keys.size(2), 1, keys.size(3)});
  return at::scaled_dot_product_attention(q, keys.transpose(1, 2), values.transpose(1, 2), keep)
      .reshape({query.size(0), query.size(1)});
}

}  // namespace detail

struct AttentionOptions {
  std::int64_t width = 512;
  std::int64_t heads = 8;                            ///< Must divide `width`.
  std::optional<double> in_proj_std = std::nullopt;  ///< Normal; unset: Xavier uniform.
  std::optional<double> out_proj_std =
      std::nullopt;  ///< Normal; unset: uniform as torch.nn.Linear.
};

/// Multi-head self-attention with the parameter names of torch.nn.MultiheadAttention. Tokens come
/// as one matrix [B * L, width], sequence after sequence, so that each projection is one product.
/// Reference: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762
class AttentionImpl : public torch::nn::Module {
 public:
  explicit AttentionImpl(AttentionOptions options, const at::TensorOptions& where = {})
      : width_(options.width), heads_(options.heads) {
    TORCH_CHECK(heads_ > 0 && width_ % heads_ == 0, "Attention: width (", width_,
                ") must be a multiple of heads (", heads_, ")");
    // Xavier for a [3 width, width] matrix.
    const double bound = std::sqrt(6.0 / (4.0 * static_cast<double>(width_)));
    in_proj_weight = register_parameter(
        "in_proj_weight",
        options.in_proj_std
            ? detail::normal_tensor({3 * width_, width_}, *options.in_proj_std, where)
            : detail::uniform_tensor({3 * width_, width_}, bound, where));
    in_proj_bias = register_parameter("in_proj_bias", at::zeros({3 * width_}, where));
    out_proj = register_module("out_proj", Linear(LinearOptions{.in_features = width_,
                                                                .out_features = width_,
                                                                .weight_std = options.out_proj_std,
                                                                .zero_bias = true},
                                                  where));
  }

  /// Every token of `x` [batch * L, width] attends to its sequence, or with `causal` to itself and
  /// what stands before it. Returns [batch * L, width].
  [[nodiscard]] at::Tensor forward(const at::Tensor& x, std::int64_t batch, bool causal) {
    const auto length = x.size(0) / batch;
    const auto qkv = at::linear(x, in_proj_weight, in_proj_bias)
                         .view({batch, length, 3, heads_, width_ / heads_})
                         .unbind(2);
    const auto mixed = at::scaled_dot_product_attention(
        qkv[0].transpose(1, 2), qkv[1].transpose(1, 2), qkv[2].transpose(1, 2), std::nullopt,
        /*dropout_p=*/0.0, causal);
    return out_proj(mixed.transpose(1, 2).reshape({batch * length, width_}));
  }

  /// The same for one token per sequence only: `queries` [batch, width] are those rows of `x`
  /// [batch * L, width], `keep` [batch, 1, 1, L] is true where they may look. Returns [batch,
  /// width].
  [[nodiscard]] at::Tensor forward_once(const at::Tensor& queries, const at::Tensor& x,
                                        const std::optional<at::Tensor>& keep) {
    const auto batch = queries.size(0);
    const auto query =
        at::linear(queries, in_proj_weight.narrow(0, 0, width_), in_proj_bias.narrow(0, 0, width_));
    const auto kv = at::linear(x, in_proj_weight.narrow(0, width_, 2 * width_),
                               in_proj_bias.narrow(0, width_, 2 * width_))
                        .view({batch, x.size(0) / batch, 2, heads_, width_ / heads_})
                        .unbind(2);
    return out_proj(detail::attend_once(query, kv[0], kv[1], keep));
  }

  at::Tensor in_proj_weight;  ///< [3 width, width]: rows of queries, keys, values.
  at::Tensor in_proj_bias;    ///< [3 width]
  Linear out_proj = nullptr;

 private:
  std::int64_t width_;
  std::int64_t heads_;
};
TORCH_MODULE(Attention);

}  // namespace contrapunto
