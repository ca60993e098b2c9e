// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <utility>

#include "contrapunto/nn/any_attention.hpp"
#include "contrapunto/nn/any_mlp.hpp"
#include "contrapunto/nn/attention.hpp"
#include "contrapunto/nn/layer_norm.hpp"
#include "contrapunto/nn/mlp.hpp"

namespace contrapunto {

namespace detail {

/// Returns x + branch, written into the memory of `branch`, which must be a new result that nothing
/// else refers to. If autocast made the branch narrower than the residual stream, the sum has the
/// dtype of the stream.
inline at::Tensor add_residual(const at::Tensor& x, const at::Tensor& branch) {
  return x.scalar_type() == branch.scalar_type() ? branch.add_(x) : x + branch;
}

}  // namespace detail

struct ResidualAttentionBlockOptions {
  AttentionOptions attention = {};
  MlpOptions mlp = {};
  double layer_norm_eps = 1e-5;
};

/// Pre-norm transformer block: x + attn(ln_1 x), then y + mlp(ln_2 y). The attention and the MLP
/// are those that the caller passes, or the default ones.
class ResidualAttentionBlockImpl : public torch::nn::Module {
 public:
  /// An empty part is created from `options`.
  explicit ResidualAttentionBlockImpl(const ResidualAttentionBlockOptions& options,
                                      const at::TensorOptions& tensor_options = {},
                                      AnyAttention attention = {}, AnyMlp mlp_part = {}) {
    const auto width = options.attention.width;
    ln_1 = register_module("ln_1", LayerNorm(width, options.layer_norm_eps, tensor_options));
    attn = attention ? std::move(attention) : Attention(options.attention, tensor_options);
    register_module("attn", attn.ptr());
    ln_2 = register_module("ln_2", LayerNorm(width, options.layer_norm_eps, tensor_options));
    mlp = mlp_part ? std::move(mlp_part) : Mlp(options.mlp, tensor_options);
    register_module("mlp", mlp.ptr());
  }

  /// Maps `x` [batch * L, width] to the same shape.
  [[nodiscard]] at::Tensor forward(const at::Tensor& x, const TokenGrid& grid) {
    const auto y = detail::add_residual(x, attn(ln_1(x), grid));
    return detail::add_residual(y, mlp(ln_2(y)));
  }

  /// Returns the rows `rows` (int64 [batch], one of each sequence) of `forward(x, grid)`, [batch,
  /// width], without computing the other rows. The last block uses it if a single token is pooled.
  [[nodiscard]] at::Tensor forward_once(const at::Tensor& x, const TokenGrid& grid,
                                        const at::Tensor& rows) {
    const auto y =
        detail::add_residual(x.index_select(0, rows), attn.forward_once(ln_1(x), grid, rows));
    return detail::add_residual(y, mlp(ln_2(y)));
  }

  /// The cost of the parts, plus the inputs and results of two norms, which are kept.
  [[nodiscard]] ForwardCost cost(const TokenGrid& grid) const {
    auto cost = attn.cost(grid);
    cost += mlp.cost(grid);
    const auto numbers = grid.batch * grid.length() * ln_1->weight.numel();
    cost.kept_elements += 4.0 * static_cast<double>(numbers);
    return cost;
  }

  LayerNorm ln_1 = nullptr;
  AnyAttention attn;
  LayerNorm ln_2 = nullptr;
  AnyMlp mlp;
};
TORCH_MODULE(ResidualAttentionBlock);

}  // namespace contrapunto
