// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ops/arange.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/ScalarType.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/nn/pimpl.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

#include "contrapunto/nn/attention_kind.hpp"
#include "contrapunto/nn/detail/attend_linear.hpp"
#include "contrapunto/nn/detail/attend_windows.hpp"
#include "contrapunto/nn/detail/initialize.hpp"
#include "contrapunto/nn/forward_cost.hpp"
#include "contrapunto/nn/layer_norm.hpp"
#include "contrapunto/nn/linear.hpp"
#include "contrapunto/nn/parametrized_module.hpp"
#include "contrapunto/nn/relative_bias.hpp"
#include "contrapunto/nn/rotary_embedding.hpp"
#include "contrapunto/nn/token_grid.hpp"

namespace contrapunto {

namespace detail {

/// Whether queries, keys and values are converted to float32 first: the CPU kernel is more than
/// twice as fast in float32 as in 16-bit dtypes, in forward and backward.
inline bool attention_widens(const at::Tensor& qkv) {
  return qkv.is_cpu() && (qkv.scalar_type() == at::kBFloat16 || qkv.scalar_type() == at::kHalf);
}

/// Computes attention within each sequence: qkv [B, L, 3, heads, D] to [B, L, heads, D],
/// contiguous.
inline at::Tensor attend(const at::Tensor& qkv, bool causal) {
  const auto dtype = qkv.scalar_type();
  // Autocast must not convert float32 back.
  const bool widen = attention_widens(qkv);
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

/// Which of queries, keys and values have a bias. That of the keys changes no softmax unless they
/// are normalized or turned.
enum class AttentionBias {
  kAll,
  kNoKeys,  ///< Parameters `q_bias` and `v_bias`, as in BEiT and EVA-02.
  kNone
};

struct AttentionOptions {
  std::int64_t width = 512;
  std::int64_t heads = 8;       ///< Must divide `width` unless `head_width` is set.
  std::int64_t head_width = 0;  ///< Numbers of each head; 0: width / heads.
  bool causal = false;  ///< Tokens attend only to themselves and to earlier tokens; kGlobal only.
  /// Standard deviation of a normal distribution; unset: Xavier uniform.
  std::optional<double> in_proj_std = std::nullopt;
  /// Standard deviation of a normal distribution; unset: uniform as in torch.nn.Linear.
  std::optional<double> out_proj_std = std::nullopt;
  AttentionKind kind = {};
  AttentionBias bias = AttentionBias::kAll;
  bool qk_norm = false;          ///< Layer norm of each query and key, head by head.
  bool output_norm = false;      ///< Layer norm before the last projection, as in EVA-02's CLIP.
  double layer_norm_eps = 1e-5;  ///< Of these norms.
  /// The position embedding of queries and keys; heads and head_width are those of the attention.
  RotaryOptions rotary = {};
  /// The bias on the scores; heads are those of the attention, and with windows also the sides.
  RelativeBiasOptions relative_bias = {.kind = RelativeBiasKind::kNone};

  /// Numbers of each head.
  [[nodiscard]] std::int64_t numbers_per_head() const {
    return head_width > 0 || heads == 0 ? head_width : width / heads;
  }
  /// Numbers of all heads together: the columns of the queries, of the keys and of the values.
  [[nodiscard]] std::int64_t inner() const { return head_width > 0 ? heads * head_width : width; }
};

/// Multi-head self-attention with the parameter names of torch.nn.MultiheadAttention. The heads
/// together may be narrower or wider than the tokens, as after heads were removed. The tokens are
/// one matrix [batch * L, width], sequence after sequence, so that each projection is one product.
/// Patterns, biases and positions other than the default read the plane of the grid, which must not
/// have lost patches. Reference: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762
class AttentionImpl : public ParametrizedModule {
 public:
  /// `tensor_options` gives the dtype and device of the parameters. Raises unless there is a head,
  /// unless `heads` divides `width` or `head_width` is set, and for options that do not go
  /// together.
  explicit AttentionImpl(AttentionOptions options, const at::TensorOptions& tensor_options = {})
      : o_(options), inner_(options.inner()) {
    TORCH_CHECK(o_.head_width >= 0, "Attention: head_width (", o_.head_width,
                ") must not be negative");
    TORCH_CHECK(o_.heads > 0 && inner_ % o_.heads == 0, "Attention: width (", o_.width,
                ") must be a multiple of heads (", o_.heads, "), or head_width must be set");
    check_options();
    // Xavier bound for a [3 inner, width] matrix.
    const double bound = std::sqrt(6.0 / static_cast<double>(3 * inner_ + o_.width));
    in_proj_weight = register_weight(
        "in_proj_weight",
        o_.in_proj_std
            ? detail::normal_tensor({3 * inner_, o_.width}, *o_.in_proj_std, tensor_options)
            : detail::uniform_tensor({3 * inner_, o_.width}, bound, tensor_options));
    if (o_.bias == AttentionBias::kAll) {
      in_proj_bias = register_parameter("in_proj_bias", at::zeros({3 * inner_}, tensor_options));
    } else if (o_.bias == AttentionBias::kNoKeys) {
      q_bias = register_parameter("q_bias", at::zeros({inner_}, tensor_options));
      v_bias = register_parameter("v_bias", at::zeros({inner_}, tensor_options));
    }
    const auto head = o_.numbers_per_head();
    if (o_.qk_norm) {
      q_norm = register_module("q_norm", LayerNorm(head, o_.layer_norm_eps, tensor_options));
      k_norm = register_module("k_norm", LayerNorm(head, o_.layer_norm_eps, tensor_options));
    }
    if (o_.rotary.kind != RotaryKind::kNone) {
      o_.rotary.heads = o_.heads;
      o_.rotary.head_width = head;
      rotary = register_module("rotary", RotaryEmbedding(o_.rotary, tensor_options));
    }
    if (o_.relative_bias.kind != RelativeBiasKind::kNone) {
      auto& bias = o_.relative_bias;
      bias.heads = o_.heads;
      if (o_.kind.pattern == AttentionPattern::kWindow) {
        bias.rows = std::min(bias.rows, o_.kind.window);
        bias.columns = std::min(bias.columns, o_.kind.window);
      }
      relative_bias = register_module("relative_bias", RelativeBias(bias, tensor_options));
    }
    if (o_.kind.pattern == AttentionPattern::kFocused) {
      // One 5 x 5 kernel for each number of a head, which all heads share.
      const double kernel_bound = detail::default_bound(25);
      depthwise_weight =
          register_weight("depthwise_weight",
                          detail::uniform_tensor({head, 1, 5, 5}, kernel_bound, tensor_options));
      depthwise_bias = register_parameter(
          "depthwise_bias", detail::uniform_tensor({head}, kernel_bound, tensor_options));
    }
    if (o_.output_norm)
      norm = register_module("norm", LayerNorm(inner_, o_.layer_norm_eps, tensor_options));
    out_proj = register_module("out_proj", Linear(LinearOptions{.in_features = inner_,
                                                                .out_features = o_.width,
                                                                .weight_std = o_.out_proj_std,
                                                                .zero_bias = true},
                                                  tensor_options));
  }

  /// Every token of `x` [batch * L, width] attends to its sequence, as the options say. Returns
  /// [batch * L, width].
  [[nodiscard]] at::Tensor forward(const at::Tensor& x, const TokenGrid& grid) {
    return out_proj(
        mix_tokens(at::linear(x, effective_weight(in_proj_weight), projection_bias()), grid));
  }

  /// The attention between the two projections, without them: maps queries, keys and values [batch
  /// * L, 3 inner] to [batch * L, inner].
  [[nodiscard]] at::Tensor mix_tokens(const at::Tensor& projected, const TokenGrid& grid) {
    const auto qkv =
        projected.view({grid.batch, grid.length(), 3, o_.heads, o_.numbers_per_head()});
    const auto mixed = is_plain() ? detail::attend(qkv, o_.causal) : mix(qkv, grid);
    const auto rows = mixed.reshape({grid.batch * grid.length(), inner_});
    return norm ? norm(rows) : rows;
  }

  /// The bias of queries, keys and values [3 inner], if there is one.
  [[nodiscard]] std::optional<at::Tensor> projection_bias() const {
    if (in_proj_bias.defined()) return in_proj_bias;
    if (!q_bias.defined()) return std::nullopt;
    return at::cat({q_bias, at::zeros_like(q_bias), v_bias});
  }

  /// Returns the rows `rows` (int64 [batch], one of each sequence) of `forward(x, grid)`, [batch,
  /// width]. Global attention without norms and positions does not compute the other rows.
  [[nodiscard]] at::Tensor forward_once(const at::Tensor& x, const TokenGrid& grid,
                                        const at::Tensor& rows) {
    if (!is_plain() || norm || !in_proj_bias.defined())
      return forward(x, grid).index_select(0, rows);
    const auto length = grid.length();
    const auto weights = effective_weight(in_proj_weight).split(inner_);
    const auto biases = in_proj_bias.split(inner_);
    std::optional<at::Tensor> keep;  // [batch, 1, L]
    if (o_.causal)
      keep =
          (at::arange(length, rows.options()) <= rows.remainder(length).unsqueeze(1)).unsqueeze(1);
    const auto queries = at::linear(x.index_select(0, rows), weights[0], biases[0]);
    return out_proj(detail::attend_once(queries, x.view({grid.batch, length, o_.width}), weights[1],
                                        biases[1], weights[2], biases[2], o_.heads, keep));
  }

  /// The cost of four projections and of the products of tokens with tokens, or of the sums over
  /// tokens in linear attention. Queries, keys, values and the output of the attention are kept.
  [[nodiscard]] ForwardCost cost(const TokenGrid& grid) const {
    const auto width = static_cast<double>(o_.width);
    const auto numbers =
        static_cast<double>(grid.batch) * static_cast<double>(grid.length() * inner_);
    return {numbers * (4.0 * width + 2.0 * products_per_number(grid)), 4.0 * numbers};
  }

  /// Fits the relative bias, if there is one, to another plane; see RelativeBias::resize.
  void resize_plane(std::int64_t rows, std::int64_t columns) {
    if (!relative_bias) return;
    const bool windows = o_.kind.pattern == AttentionPattern::kWindow;
    relative_bias->resize(windows ? std::min(rows, o_.kind.window) : rows,
                          windows ? std::min(columns, o_.kind.window) : columns);
  }

  [[nodiscard]] const AttentionOptions& options() const { return o_; }

  at::Tensor in_proj_weight;  ///< [3 inner, width]: rows of queries, keys, values.
  at::Tensor in_proj_bias;    ///< [3 inner]; undefined unless all have a bias.
  at::Tensor q_bias;          ///< [inner]; kNoKeys only.
  at::Tensor v_bias;          ///< [inner]; kNoKeys only.
  LayerNorm q_norm = nullptr;
  LayerNorm k_norm = nullptr;
  RotaryEmbedding rotary = nullptr;
  RelativeBias relative_bias = nullptr;
  at::Tensor depthwise_weight;  ///< [head width, 1, 5, 5]; kFocused only.
  at::Tensor depthwise_bias;    ///< [head width]; kFocused only.
  LayerNorm norm = nullptr;
  Linear out_proj = nullptr;

 private:
  /// Whether the fused attention over all tokens takes queries, keys and values as they are.
  [[nodiscard]] bool is_plain() const {
    return o_.kind.pattern == AttentionPattern::kGlobal && !o_.qk_norm && rotary.is_empty() &&
           relative_bias.is_empty();
  }

  [[nodiscard]] bool is_linear() const {
    return o_.kind.pattern == AttentionPattern::kLinear ||
           o_.kind.pattern == AttentionPattern::kFocused;
  }

  void check_options() const {
    const bool positions =
        o_.rotary.kind != RotaryKind::kNone || o_.relative_bias.kind != RelativeBiasKind::kNone;
    TORCH_CHECK(!o_.causal || (o_.kind.pattern == AttentionPattern::kGlobal && !positions),
                "Attention: causal attention must be global and without rotary embedding and "
                "relative bias");
    TORCH_CHECK(o_.kind.pattern != AttentionPattern::kWindow || o_.kind.window > 0,
                "Attention: the side of the window (", o_.kind.window, ") must be positive");
    TORCH_CHECK(!is_linear() || o_.relative_bias.kind == RelativeBiasKind::kNone,
                "Attention: linear attention has no scores to which a relative bias could be "
                "added; use a rotary embedding, or another attention");
  }

  /// Multiply-adds of half of the attention, for each number of a token.
  [[nodiscard]] double products_per_number(const TokenGrid& grid) const {
    if (is_linear()) return static_cast<double>(o_.numbers_per_head());
    if (o_.kind.pattern == AttentionPattern::kGlobal) return static_cast<double>(grid.length());
    const detail::WindowLayout layout(grid, o_.kind.window, o_.kind.shifted);
    const auto pairs = layout.count() * layout.tokens() * (grid.prefix + layout.tokens()) +
                       grid.prefix * grid.length();
    return static_cast<double>(pairs) / static_cast<double>(grid.length());
  }

  /// Attention of queries, keys and values [B, L, 3, heads, D] with norms, positions and patterns;
  /// returns [B, L, heads, D].
  at::Tensor mix(const at::Tensor& qkv, const TokenGrid& grid) const {
    const auto dtype = qkv.scalar_type();
    const bool widen = detail::attention_widens(qkv);
    // Linear attention sums over tokens, which must not be rounded to 8 bits on any device.
    const bool compute_wide = widen || is_linear();
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(
        compute_wide ? c10::autocast_dispatch_keyset : c10::DispatchKeySet());
    const auto parts =
        (compute_wide ? qkv.to(c10::promoteTypes(dtype, at::kFloat)) : qkv).unbind(2);
    auto q = parts[0], k = parts[1];
    const auto& v = parts[2];
    if (q_norm) q = q_norm->forward(q), k = k_norm->forward(k);
    if (rotary) q = rotary->forward(q, grid), k = rotary->forward(k, grid);
    switch (o_.kind.pattern) {
      case AttentionPattern::kLinear:
        return detail::attend_linear(detail::elu_features(q), detail::elu_features(k), v).to(dtype);
      case AttentionPattern::kFocused:
        return (detail::attend_linear(detail::focused_features(q), detail::focused_features(k), v) +
                local_values(v, grid))
            .to(dtype);
      case AttentionPattern::kWindow: {
        const detail::WindowLayout layout(grid, o_.kind.window, o_.kind.shifted);
        return detail::attend_windows(q, k, v, layout, bias_of(layout.rows, layout.columns))
            .to(dtype);
      }
      case AttentionPattern::kGlobal:
        break;
    }
    std::optional<at::Tensor> bias = bias_of(grid.rows, grid.columns);
    if (bias) bias = bias->to(q.scalar_type()).unsqueeze(0);
    return at::scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2),
                                            bias)
        .transpose(1, 2)
        .to(dtype);
  }

  /// Returns the bias of a plane or window of `rows` x `columns`, if there is one.
  [[nodiscard]] std::optional<at::Tensor> bias_of(std::int64_t rows, std::int64_t columns) const {
    if (!relative_bias) return std::nullopt;
    return relative_bias->of_plane(rows, columns);
  }

  /// The depth-wise convolution of the values of the plane, [B, L, heads, D]; 0 for prefix tokens.
  at::Tensor local_values(const at::Tensor& v, const TokenGrid& grid) const {
    const auto batch = v.size(0), heads = v.size(2), width = v.size(3);
    const auto patches = grid.rows * grid.columns;
    const auto planes = v.narrow(1, grid.prefix, patches)
                            .permute({0, 2, 3, 1})
                            .reshape({batch * heads, width, grid.rows, grid.columns});
    const auto weight = effective_weight(depthwise_weight).to(v.scalar_type());
    const auto mixed =
        at::conv2d(planes, weight, depthwise_bias.to(v.scalar_type()), 1, 2, 1, width)
            .view({batch, heads, width, patches})
            .permute({0, 3, 1, 2});
    return at::constant_pad_nd(mixed, {0, 0, 0, 0, grid.prefix, 0});
  }

  AttentionOptions o_;
  std::int64_t inner_;
};
TORCH_MODULE(Attention);

}  // namespace contrapunto
