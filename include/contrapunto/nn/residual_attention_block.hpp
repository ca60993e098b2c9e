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
  AttentionOptions attention = {};  ///< 0 heads: the block has neither an attention nor `ln_1`.
  MlpOptions mlp = {};
  double layer_norm_eps = 1e-5;
};

/// Pre-norm transformer block: x + attn(ln_1 x), then y + mlp(ln_2 y). The attention and the MLP
/// are those that the caller passes, or the default ones. A block whose heads were all removed has
/// no attention, and y is x. A block whose hidden units were all removed keeps its MLP, which then
/// adds its output bias: TinyCLIP's extraction also drops the attention but keeps the MLP, so that
/// its weights load, and the bias still matters.
class ResidualAttentionBlockImpl : public torch::nn::Module {
 public:
  /// An empty part is created from `options`.
  explicit ResidualAttentionBlockImpl(const ResidualAttentionBlockOptions& options,
                                      const at::TensorOptions& tensor_options = {},
                                      AnyAttention attention = {}, AnyMlp mlp_part = {}) {
    const auto width = options.attention.width;
    if (attention || options.attention.heads != 0) {
      ln_1 = register_module("ln_1", LayerNorm(width, options.layer_norm_eps, tensor_options));
      attn = attention ? std::move(attention) : Attention(options.attention, tensor_options);
      register_module("attn", attn.ptr());
    }
    ln_2 = register_module("ln_2", LayerNorm(width, options.layer_norm_eps, tensor_options));
    mlp = mlp_part ? std::move(mlp_part) : Mlp(options.mlp, tensor_options);
    register_module("mlp", mlp.ptr());
  }

  /// Maps `x` [batch * L, width] to the same shape.
  [[nodiscard]] at::Tensor forward(const at::Tensor& x, const TokenGrid& grid) {
    const auto y = attn ? detail::add_residual(x, attn(ln_1(x), grid)) : x;
    return detail::add_residual(y, mlp(ln_2(y)));
  }

  /// Returns the rows `rows` (int64 [batch], one of each sequence) of `forward(x, grid)`, [batch,
  /// width], without computing the other rows. The last block uses it if a single token is pooled.
  [[nodiscard]] at::Tensor forward_once(const at::Tensor& x, const TokenGrid& grid,
                                        const at::Tensor& rows) {
    auto y = x.index_select(0, rows);
    if (attn) y = detail::add_residual(y, attn.forward_once(ln_1(x), grid, rows));
    return detail::add_residual(y, mlp(ln_2(y)));
  }

  /// The cost of the parts, plus the inputs and results of their norms, which are kept.
  [[nodiscard]] ForwardCost cost(const TokenGrid& grid) const {
    auto cost = mlp.cost(grid);
    if (attn) cost += attn.cost(grid);
    const auto numbers = grid.batch * grid.length() * ln_2->weight.numel();
    cost.kept_elements += (attn ? 4.0 : 2.0) * static_cast<double>(numbers);
    return cost;
  }

  LayerNorm ln_1 = nullptr;  ///< Empty without an attention.
  AnyAttention attn;         ///< Empty in a block without heads.
  LayerNorm ln_2 = nullptr;
  AnyMlp mlp;
};
TORCH_MODULE(ResidualAttentionBlock);

}  // namespace contrapunto
