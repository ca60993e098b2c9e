// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <optional>
#include <typeinfo>
#include <utility>

#include "contrapunto/nn/any_attention.hpp"
#include "contrapunto/nn/any_mlp.hpp"
#include "contrapunto/nn/attention.hpp"
#include "contrapunto/nn/detail/fused_branch.hpp"
#include "contrapunto/nn/drop_path.hpp"
#include "contrapunto/nn/layer_norm.hpp"
#include "contrapunto/nn/layer_scale.hpp"
#include "contrapunto/nn/mlp.hpp"
#include "contrapunto/nn/swiglu_mlp.hpp"

namespace contrapunto {

namespace detail {

/// Returns x + branch, written into the memory of `branch`, which must be a new result that nothing
/// else refers to. If autocast made the branch narrower than the residual stream, the sum has the
/// dtype of the stream.
inline at::Tensor add_residual(const at::Tensor& x, const at::Tensor& branch) {
  return x.scalar_type() == branch.scalar_type() ? branch.add_(x) : x + branch;
}

/// Returns x + scale * kept * gamma * branch for `x` and `branch` [batch * L, width]. The products
/// have the dtype of the branch.
inline at::Tensor add_scaled_residual(const at::Tensor& x, at::Tensor branch,
                                      const BranchFactors& factors) {
  if (factors.gamma.defined())
    branch = branch * (factors.gamma * factors.scale).to(branch.scalar_type());
  else if (factors.scale != 1.0)
    branch = branch * factors.scale;
  if (factors.kept.defined())
    branch = (branch.view({factors.kept.size(0), -1, branch.size(1)}) *
              factors.kept.to(branch.scalar_type()).view({-1, 1, 1}))
                 .view(branch.sizes());
  return add_residual(x, branch);
}

}  // namespace detail

/// How a block combines its attention and its MLP.
enum class BlockOrder {
  kSequential,   ///< y = x + attn(ln_1 x), then y + mlp(ln_2 y).
  kParallel,     ///< x + attn(ln_1 x) + mlp(ln_1 x), as in ViT-22B; there is no `ln_2`.
  kNormedStream  ///< y = ln_2(x + attn(ln_1 x)), then y + mlp(y), as in compact transformers.
};

struct ResidualAttentionBlockOptions {
  AttentionOptions attention = {};  ///< 0 heads: the block has neither an attention nor `ln_1`.
  MlpOptions mlp = {};
  double layer_norm_eps = 1e-5;
  BlockOrder order = BlockOrder::kSequential;
  /// Initial factors of both branches, which are then learned; unset: there are none.
  std::optional<double> layer_scale = std::nullopt;
  double drop_path = 0.0;  ///< Probability that a branch is left out for a sample, in training.
};

/// Pre-norm transformer block: x + attn(ln_1 x), then y + mlp(ln_2 y), or another order. Each
/// branch may be multiplied by learned factors and be left out at random (drop path). The attention
/// and the MLP are those that the caller passes, or the default ones. A block whose heads were all
/// removed has no attention, and y is x. A block whose hidden units were all removed keeps its MLP,
/// which then adds its output bias: TinyCLIP's extraction also drops the attention but keeps the
/// MLP, so that its weights load, and the bias still matters.
class ResidualAttentionBlockImpl : public torch::nn::Module {
 public:
  /// An empty part is created from `options`. Raises for a drop_path outside of [0, 1) and for a
  /// block without an attention whose order is not sequential.
  explicit ResidualAttentionBlockImpl(const ResidualAttentionBlockOptions& options,
                                      const at::TensorOptions& tensor_options = {},
                                      AnyAttention attention = {}, AnyMlp mlp_part = {})
      : order_(options.order), drop_path_(options.drop_path) {
    const auto width = options.attention.width;
    TORCH_CHECK(drop_path_ >= 0.0 && drop_path_ < 1.0, "ResidualAttentionBlock: drop_path (",
                drop_path_, ") must be in [0, 1)");
    const auto scale = [&](const char* name) {
      return register_module(name, LayerScale(width, *options.layer_scale, tensor_options));
    };
    if (attention || options.attention.heads != 0) {
      ln_1 = register_module("ln_1", LayerNorm(width, options.layer_norm_eps, tensor_options));
      attn = attention ? std::move(attention) : Attention(options.attention, tensor_options);
      register_module("attn", attn.ptr());
      if (options.layer_scale) ls_1 = scale("ls_1");
    }
    TORCH_CHECK(attn || order_ == BlockOrder::kSequential,
                "ResidualAttentionBlock: a block without heads must be sequential");
    if (order_ != BlockOrder::kParallel)
      ln_2 = register_module("ln_2", LayerNorm(width, options.layer_norm_eps, tensor_options));
    mlp = mlp_part ? std::move(mlp_part) : make_mlp(options, tensor_options);
    register_module("mlp", mlp.ptr());
    if (options.layer_scale) ls_2 = scale("ls_2");
  }

  /// Maps `x` [batch * L, width] to the same shape.
  [[nodiscard]] at::Tensor forward(const at::Tensor& x, const TokenGrid& grid) {
    if (!attn) return mlp_half(x, grid.batch);
    if (order_ == BlockOrder::kSequential) return mlp_half(attention_half(x, grid), grid.batch);
    const auto normed = ln_1(x);
    const auto y = add(x, attn(normed, grid), ls_1, grid.batch);
    return order_ == BlockOrder::kParallel ? add_mlp(y, normed, grid.batch) : after(y, grid.batch);
  }

  /// Returns the rows `rows` (int64 [batch], one of each sequence) of `forward(x, grid)`, [batch,
  /// width], without computing the other rows. The last block uses it if a single token is pooled.
  [[nodiscard]] at::Tensor forward_once(const at::Tensor& x, const TokenGrid& grid,
                                        const at::Tensor& rows) {
    const auto y = x.index_select(0, rows);
    if (!attn) return add_mlp(y, ln_2(y), grid.batch);
    const auto normed = ln_1(x);
    const auto z = add(y, attn.forward_once(normed, grid, rows), ls_1, grid.batch);
    return order_ == BlockOrder::kParallel ? add_mlp(z, normed.index_select(0, rows), grid.batch)
                                           : after(z, grid.batch);
  }

  /// Turns the fused passes of the library's own parts on or off; they are on from the start. They
  /// give the same results up to rounding, keep about half of the activations for the backward, and
  /// have no second derivatives.
  void fuse_passes(bool on) { fuses_ = on; }

  [[nodiscard]] BlockOrder order() const { return order_; }

  /// The cost of the parts, plus what is kept around them. Fused passes keep the input of each half
  /// and one side of the activation. Otherwise the results of the norms are kept too, and with
  /// factors those of the branches.
  [[nodiscard]] ForwardCost cost(const TokenGrid& grid) const {
    const auto tokens = static_cast<double>(grid.batch * grid.length());
    const auto width = static_cast<double>((ln_2 ? ln_2 : ln_1)->weight.numel());
    const bool sequential = order_ == BlockOrder::kSequential;
    auto cost = mlp.cost(grid);
    double widths = 0.0;  // Of a token.
    const double separate = ls_2 ? 3.0 : 2.0;
    if (attn) {
      cost += attn.cost(grid);
      widths += sequential && fusable<AttentionImpl>(*attn, ln_1) != nullptr ? 1.0 : separate;
    }
    const auto* plain = sequential ? fusable<MlpImpl>(*mlp, ln_2) : nullptr;
    const auto* gated = sequential ? fusable_gate() : nullptr;
    if (plain != nullptr) cost.kept_elements -= tokens * static_cast<double>(plain->hidden());
    if (gated != nullptr) cost.kept_elements -= 2.0 * tokens * static_cast<double>(gated->hidden());
    widths += plain != nullptr || gated != nullptr ? 1.0 : ln_2 ? separate : separate - 2.0;
    cost.kept_elements += tokens * width * widths;
    return cost;
  }

  LayerNorm ln_1 = nullptr;   ///< Empty without an attention.
  AnyAttention attn;          ///< Empty in a block without heads.
  LayerScale ls_1 = nullptr;  ///< Empty without factors.
  LayerNorm ln_2 = nullptr;   ///< Empty in a parallel block.
  AnyMlp mlp;
  LayerScale ls_2 = nullptr;  ///< Empty without factors.

 private:
  static AnyMlp make_mlp(const ResidualAttentionBlockOptions& options,
                         const at::TensorOptions& tensor_options) {
    const auto& o = options.mlp;
    if (o.kind == MlpKind::kPlain) return Mlp(o, tensor_options);
    return SwiGluMlp(SwiGluMlpOptions{.width = o.width,
                                      .hidden = o.hidden,
                                      .c_fc_std = o.c_fc_std,
                                      .c_proj_std = o.c_proj_std,
                                      .zero_bias = o.zero_bias,
                                      .inner_norm = o.inner_norm,
                                      .layer_norm_eps = options.layer_norm_eps},
                     tensor_options);
  }

  /// Returns `part` if it and `norm` may run in fused passes: a part of exactly this type, because
  /// a derived one may do something else, and a norm without a mask.
  template <class Part>
  Part* fusable(torch::nn::Module& part, const LayerNorm& norm) const {
    if (!fuses_ || norm->unit_mask.defined() || typeid(part) != typeid(Part)) return nullptr;
    return static_cast<Part*>(&part);
  }

  /// x + attn(ln_1 x). The library's attention runs in passes that keep less and multiply less.
  at::Tensor attention_half(const at::Tensor& x, const TokenGrid& grid) {
    auto* attention = fusable<AttentionImpl>(*attn, ln_1);
    if (attention == nullptr) return add(x, attn(ln_1(x), grid), ls_1, grid.batch);
    const auto projected =
        detail::norm_linear(x, ln_1->weight, ln_1->bias, ln_1->eps(),
                            attention->effective_weight(attention->in_proj_weight),
                            attention->projection_bias().value_or(at::Tensor()));
    const auto& out = attention->out_proj;
    return detail::linear_residual(x, attention->mix_tokens(projected, grid), {},
                                   out->effective_weight(out->weight), out->bias,
                                   factors(ls_1, x, grid.batch));
  }

  /// y + mlp(ln_2 y), likewise.
  at::Tensor mlp_half(const at::Tensor& y, std::int64_t batch) {
    const auto fused = [&](const auto& part, const detail::BranchActivation& act) {
      const auto& in = part.c_fc;
      const auto& out = part.c_proj;
      const auto hidden = detail::norm_linear(y, ln_2->weight, ln_2->bias, ln_2->eps(),
                                              in->effective_weight(in->weight), in->bias);
      return detail::linear_residual(y, hidden, act, out->effective_weight(out->weight), out->bias,
                                     factors(ls_2, y, batch));
    };
    if (const auto* plain = fusable<MlpImpl>(*mlp, ln_2))
      return fused(*plain, {plain->activation()});
    if (const auto* gated = fusable_gate()) return fused(*gated, {.gated = true});
    return add_mlp(y, ln_2(y), batch);
  }

  /// The gated MLP, if it may run in fused passes. A norm inside of it is not fused.
  const SwiGluMlpImpl* fusable_gate() const {
    const auto* gated = fusable<SwiGluMlpImpl>(*mlp, ln_2);
    return gated != nullptr && !gated->norm ? gated : nullptr;
  }

  at::Tensor after(const at::Tensor& y, std::int64_t batch) {
    const auto normed = ln_2(y);
    return add_mlp(order_ == BlockOrder::kNormedStream ? normed : y, normed, batch);
  }

  at::Tensor add_mlp(const at::Tensor& y, const at::Tensor& normed, std::int64_t batch) {
    return add(y, mlp(normed), ls_2, batch);
  }

  at::Tensor add(const at::Tensor& x, const at::Tensor& branch, const LayerScale& scale,
                 std::int64_t batch) const {
    const auto by = factors(scale, x, batch);
    if (!by.gamma.defined() && !by.kept.defined()) return detail::add_residual(x, branch);
    return detail::add_scaled_residual(x, branch, by);
  }

  detail::BranchFactors factors(const LayerScale& scale, const at::Tensor& x,
                                std::int64_t batch) const {
    detail::BranchFactors by;
    if (scale) by.gamma = scale->gamma;
    if (is_training() && drop_path_ > 0.0) {
      by.kept = draw_drop_path(batch, drop_path_, x);
      by.scale = 1.0 / (1.0 - drop_path_);
    }
    return by;
  }

  BlockOrder order_;
  double drop_path_;
  bool fuses_ = true;
};
TORCH_MODULE(ResidualAttentionBlock);

}  // namespace contrapunto
