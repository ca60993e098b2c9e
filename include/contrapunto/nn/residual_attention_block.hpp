// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <optional>

#include "contrapunto/nn/attention.hpp"
#include "contrapunto/nn/layer_norm.hpp"
#include "contrapunto/nn/mlp.hpp"

namespace contrapunto {

namespace detail {

/// x + branch, into the memory of `branch`, a fresh product that nothing else holds. Where autocast
/// made the branch narrower than the stream, the sum has the dtype of the stream.
inline at::Tensor add_residual(const at::Tensor& x, at::Tensor branch) {
  return x.scalar_type() == branch.scalar_type() ? branch.add_(x) : x + branch;
}

}  // namespace detail

struct ResidualAttentionBlockOptions {
  AttentionOptions attention = {};
  MlpOptions mlp = {};
  double layer_norm_eps = 1e-5;
};

/// Pre-norm transformer block: x + attn(ln_1 x), then x + mlp(ln_2 x).
class ResidualAttentionBlockImpl : public torch::nn::Module {
 public:
  explicit ResidualAttentionBlockImpl(const ResidualAttentionBlockOptions& options,
                                      const at::TensorOptions& where = {}) {
    const auto width = options.attention.width;
    ln_1 = register_module("ln_1", LayerNorm(width, options.layer_norm_eps, where));
    attn = register_module("attn", Attention(options.attention, where));
    ln_2 = register_module("ln_2", LayerNorm(width, options.layer_norm_eps, where));
    mlp = register_module("mlp", Mlp(options.mlp, where));
  }

  /// `x` [batch * L, width], sequence after sequence, to the same.
  [[nodiscard]] at::Tensor forward(const at::Tensor& x, std::int64_t batch, bool causal) {
    const auto y = detail::add_residual(x, attn(ln_1(x), batch, causal));
    return detail::add_residual(y, mlp(ln_2(y)));
  }

  /// The rows `rows` (int64 [batch], one of each sequence) of `forward(x)`, without computing the
  /// others: what a last block needs when one token is pooled. `keep` as in
  /// Attention::forward_once.
  [[nodiscard]] at::Tensor forward_once(const at::Tensor& x, const at::Tensor& rows,
                                        const std::optional<at::Tensor>& keep) {
    const auto normed = ln_1(x);
    const auto y = detail::add_residual(
        x.index_select(0, rows), attn->forward_once(normed.index_select(0, rows), normed, keep));
    return detail::add_residual(y, mlp(ln_2(y)));
  }

  LayerNorm ln_1 = nullptr;
  Attention attn = nullptr;
  LayerNorm ln_2 = nullptr;
  Mlp mlp = nullptr;
};
TORCH_MODULE(ResidualAttentionBlock);

}  // namespace contrapunto
