// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ops/arange.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>
#include <c10/core/ScalarType.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/nn/pimpl.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

#include "contrapunto/nn/detail/initialize.hpp"
#include "contrapunto/nn/forward_cost.hpp"
#include "contrapunto/nn/linear.hpp"
#include "contrapunto/nn/parametrized_module.hpp"
#include "contrapunto/nn/token_grid.hpp"

namespace contrapunto {

namespace detail {

/// Computes attention within each sequence: qkv [B, L, 3, heads, D] to [B, L, heads, D],
/// contiguous.
inline at::Tensor attend(const at::Tensor& qkv, bool causal) {
  const auto dtype = qkv.scalar_type();
  // The CPU kernel is more than twice as fast in float32 as in 16-bit dtypes, in forward and
  // backward. It therefore receives float32, and autocast must not convert that back.
  const bool widen = qkv.is_cpu() && (dtype == at::kBFloat16 || dtype == at::kHalf);
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(widen ? c10::autocast_dispatch_keyset
                                                             : c10::DispatchKeySet());
  const auto parts = (widen ? qkv.to(at::kFloat) : qkv).unbind(2);
  return at::scaled_dot_product_attention(parts[0].transpose(1, 2), parts[1].transpose(1, 2),
                                          parts[2].transpose(1, 2), std::nullopt,
                                          /*dropout_p=*/0.0, causal)
      .transpose(1, 2)
      .to(dtype)
      .contiguous();
}

/// Attention of one query per sequence that never projects the tokens. It maps `query` [B, inner]
/// and `x` [B, L, width] to [B, inner], where the weights are [inner, width] and `heads` divides
/// `inner`; `keep` [B, 1, L] is true for tokens that may be attended to. The scores
/// of a head are q . (K x + k) = (K^T q) . x + q . k, and its output is V (sum of p x) + v, so that
/// each of the two products has one row instead of L rows.
inline at::Tensor attend_once(const at::Tensor& query, const at::Tensor& x,
                              const at::Tensor& key_weight, const at::Tensor& key_bias,
                              const at::Tensor& value_weight, const at::Tensor& value_bias,
                              std::int64_t heads, const std::optional<at::Tensor>& keep = {}) {
  const auto inner = query.size(1), width = x.size(2);
  const auto head = inner / heads;
  const auto q = (query * (1.0 / std::sqrt(static_cast<double>(head))))
                     .view({query.size(0), heads, head})
                     .transpose(0, 1);  // [heads, B, head]
  const auto probe = at::bmm(q, key_weight.view({heads, head, width})).transpose(0, 1);
  const auto shift = (q * key_bias.view({heads, 1, head})).sum(2).t().unsqueeze(2);
  auto scores = at::bmm(probe, x.transpose(1, 2)) + shift;  // [B, heads, L]
  if (keep)
    scores = scores.masked_fill(keep->logical_not(), -std::numeric_limits<double>::infinity());
  const auto shares = at::softmax(scores, 2, c10::promoteTypes(scores.scalar_type(), at::kFloat));
  const auto mean = at::bmm(shares.to(x.scalar_type()), x).transpose(0, 1);  // [heads, B, width]
  return at::bmm(mean, value_weight.view({heads, head, width}).transpose(1, 2))
             .transpose(0, 1)
             .reshape({query.size(0), inner}) +
         value_bias;
}

}  // namespace detail

struct AttentionOptions {
  std::int64_t width = 512;
  std::int64_t heads = 8;       ///< Must divide `width` unless `head_width` is set.
  std::int64_t head_width = 0;  ///< Numbers of each head; 0: width / heads.
  bool causal = false;          ///< Tokens attend only to themselves and to earlier tokens.
  /// Standard deviation of a normal distribution; unset: Xavier uniform.
  std::optional<double> in_proj_std = std::nullopt;
  /// Standard deviation of a normal distribution; unset: uniform as in torch.nn.Linear.
  std::optional<double> out_proj_std = std::nullopt;

  /// Numbers of all heads together: the columns of the queries, of the keys and of the values.
  [[nodiscard]] std::int64_t inner() const { return head_width > 0 ? heads * head_width : width; }
};

/// Multi-head self-attention with the parameter names of torch.nn.MultiheadAttention. The heads
/// together may be narrower or wider than the tokens, as after heads were removed. The tokens are
/// one matrix [batch * L, width], sequence after sequence, so that each projection is one product.
/// Rows, columns and prefix of the grid are only used for L. Reference: Vaswani et al. 2017,
/// https://arxiv.org/abs/1706.03762
class AttentionImpl : public ParametrizedModule {
 public:
  /// `tensor_options` gives the dtype and device of the parameters. Raises unless there is a head,
  /// and unless `heads` divides `width` or `head_width` is set.
  explicit AttentionImpl(AttentionOptions options, const at::TensorOptions& tensor_options = {})
      : width_(options.width),
        inner_(options.inner()),
        heads_(options.heads),
        causal_(options.causal) {
    TORCH_CHECK(options.head_width >= 0, "Attention: head_width (", options.head_width,
                ") must not be negative");
    TORCH_CHECK(heads_ > 0 && inner_ % heads_ == 0, "Attention: width (", width_,
                ") must be a multiple of heads (", heads_, "), or head_width must be set");
    // Xavier bound for a [3 inner, width] matrix.
    const double bound = std::sqrt(6.0 / static_cast<double>(3 * inner_ + width_));
    in_proj_weight = register_weight(
        "in_proj_weight",
        options.in_proj_std
            ? detail::normal_tensor({3 * inner_, width_}, *options.in_proj_std, tensor_options)
            : detail::uniform_tensor({3 * inner_, width_}, bound, tensor_options));
    in_proj_bias = register_parameter("in_proj_bias", at::zeros({3 * inner_}, tensor_options));
    out_proj = register_module("out_proj", Linear(LinearOptions{.in_features = inner_,
                                                                .out_features = width_,
                                                                .weight_std = options.out_proj_std,
                                                                .zero_bias = true},
                                                  tensor_options));
  }

  /// Every token of `x` [batch * L, width] attends to its sequence, if causal only up to itself.
  /// Returns [batch * L, width].
  [[nodiscard]] at::Tensor forward(const at::Tensor& x, const TokenGrid& grid) {
    const auto projected = at::linear(x, effective_weight(in_proj_weight), in_proj_bias);
    const auto mixed = detail::attend(
        projected.view({grid.batch, grid.length(), 3, heads_, inner_ / heads_}), causal_);
    return out_proj(mixed.view({grid.batch * grid.length(), inner_}));
  }

  /// Returns the rows `rows` (int64 [batch], one of each sequence) of `forward(x, grid)`, [batch,
  /// width], without computing the other rows.
  [[nodiscard]] at::Tensor forward_once(const at::Tensor& x, const TokenGrid& grid,
                                        const at::Tensor& rows) {
    const auto length = grid.length();
    const auto weights = effective_weight(in_proj_weight).split(inner_);
    const auto biases = in_proj_bias.split(inner_);
    std::optional<at::Tensor> keep;  // [batch, 1, L]
    if (causal_)
      keep =
          (at::arange(length, rows.options()) <= rows.remainder(length).unsqueeze(1)).unsqueeze(1);
    const auto queries = at::linear(x.index_select(0, rows), weights[0], biases[0]);
    return out_proj(detail::attend_once(queries, x.view({grid.batch, length, width_}), weights[1],
                                        biases[1], weights[2], biases[2], heads_, keep));
  }

  /// The cost of four projections and two products of tokens with tokens. Queries, keys, values and
  /// the output of the attention are kept.
  [[nodiscard]] ForwardCost cost(const TokenGrid& grid) const {
    const auto length = static_cast<double>(grid.length());
    const auto width = static_cast<double>(width_);
    const auto numbers = static_cast<double>(grid.batch) * length * static_cast<double>(inner_);
    return {numbers * (4.0 * width + 2.0 * length), 4.0 * numbers};
  }

  at::Tensor in_proj_weight;  ///< [3 inner, width]: rows of queries, keys, values.
  at::Tensor in_proj_bias;    ///< [3 inner]
  Linear out_proj = nullptr;

 private:
  std::int64_t width_;
  std::int64_t inner_;
  std::int64_t heads_;
  bool causal_;
};
TORCH_MODULE(Attention);

}  // namespace contrapunto
