// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/repeat_interleave.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>

#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "contrapunto/export/graph_builder.hpp"
#include "contrapunto/nn/attention.hpp"
#include "contrapunto/nn/layer_norm.hpp"
#include "contrapunto/nn/token_grid.hpp"

namespace contrapunto::detail {

/// Added to scores of keys that a query does not attend to. exp(score + kMasked - maximum) is
/// exactly 0, and the number is finite in float16 too, where runtimes may compute.
inline constexpr double kMasked = -30'000.0;

/// The one token of each sequence that is pooled: the row `index` (int64 [B]), or `row` in all.
struct PooledRow {
  std::optional<GraphValue> index = std::nullopt;
  std::int64_t row = 0;

  /// Maps [B, L, ...] to [B, 1, ...].
  [[nodiscard]] GraphValue of(GraphBuilder& g, GraphValue x) const {
    return index ? g.pick(x, *index) : g.slice(x, 1, row, row + 1);
  }
};

inline GraphValue describe_layer_norm(GraphBuilder& g, const char* name, const LayerNormImpl& norm,
                                      GraphValue x) {
  const auto scope = g.scope(name);
  TORCH_CHECK(!norm.unit_mask.defined(),
              "export: a layer norm has a mask of units; compress the model first, so that its "
              "masks are gone");
  return g.layer_norm(x, g.weight("weight", norm.weight), g.weight("bias", norm.bias), norm.eps());
}

/// Turns the patches of `x` [B, heads, L, head width] as the rotary embedding does.
inline GraphValue describe_rotary(GraphBuilder& g, const RotaryEmbeddingImpl& rotary, GraphValue x,
                                  const TokenGrid& grid) {
  const auto turn = rotary.angles(grid, at::TensorOptions(at::kFloat)).detach();
  const auto angle = turn.transpose(0, 1);  // [heads or 1, patches, head width / 2]
  const auto width = 2 * angle.size(2);
  const auto prefix = at::zeros({angle.size(0), grid.prefix, width});
  const auto cosine =
      at::cat({prefix + 1, at::repeat_interleave(angle.cos(), 2, 2)}, 1).unsqueeze(0);
  // (a, b) becomes (a cos - b sin, b cos + a sin): neighbors change places, with a sign.
  const auto sine = angle.sin();
  const auto signed_sine = at::cat({prefix, at::stack({-sine, sine}, 3).flatten(2)}, 1);
  const auto index = at::arange(width, at::kLong);
  const auto neighbor = index + 1 - 2 * index.remainder(2);
  const auto swapped = g.gather(x, g.constant("neighbors", neighbor), 3);
  return g.add(g.multiply(x, g.constant("cosine", cosine)),
               g.multiply(swapped, g.constant("sine", signed_sine.unsqueeze(0))));
}

/// elu(x) + 1, or the focused features; see attend_linear.
inline GraphValue describe_features(GraphBuilder& g, AttentionPattern pattern, GraphValue x) {
  if (pattern == AttentionPattern::kLinear) {
    // relu(x) + exp(min(x, 0)), where min(x, 0) = -relu(-x).
    const auto negative = g.multiply(g.relu(g.multiply(x, -1.0)), -1.0);
    return g.add(g.relu(x), g.exp(negative));
  }
  const auto positive = g.add(g.relu(x), g.constant("epsilon", 1e-6));
  const auto cubed = g.multiply(g.multiply(positive, positive), positive);
  return g.multiply(cubed, g.divide(g.norm(positive), g.norm(cubed)));
}

/// Linear attention of queries, keys and values [B, heads, L, head width].
inline GraphValue describe_linear_attention(GraphBuilder& g, const AttentionImpl& a, GraphValue q,
                                            GraphValue k, GraphValue v, const TokenGrid& grid) {
  const auto pattern = a.options().kind.pattern;
  q = describe_features(g, pattern, q);
  k = describe_features(g, pattern, k);
  const double share = 1.0 / static_cast<double>(grid.length());
  const auto keys = g.transpose(k, {0, 1, 3, 2});
  const auto sum = g.multiply(g.matmul(keys, v), share);
  const auto norm = g.matmul(q, g.transpose(g.mean(k, 2), {0, 1, 3, 2}));  // [B, heads, L, 1]
  const auto mixed = g.divide(g.matmul(q, sum), g.add(norm, g.constant("epsilon", 1e-6)));
  if (pattern == AttentionPattern::kLinear) return mixed;
  // The depth-wise convolution of the values of the plane. All heads share the kernels, so they are
  // repeated for each head.
  const auto heads = a.options().heads, width = a.options().numbers_per_head();
  const auto patches = grid.rows * grid.columns;
  auto plane = g.transpose(g.slice(v, 2, grid.prefix, grid.length()), {0, 1, 3, 2});
  plane = g.reshape(plane, {-1, heads * width, grid.rows, grid.columns});
  const auto local =
      g.convolution(plane, a.effective_weight(a.depthwise_weight).repeat({heads, 1, 1, 1}),
                    a.depthwise_bias.repeat({heads}), 1, 2, heads * width);
  const auto rows = g.transpose(g.reshape(local, {-1, heads, width, patches}), {0, 1, 3, 2});
  return g.add(mixed, g.pad(rows, 2, grid.prefix, 0));
}

/// Attention within windows of queries, keys and values [B, heads, L, head width]. The tokens of
/// the windows are gathered by a constant list, and gathered back.
inline GraphValue describe_windows(GraphBuilder& g, const AttentionImpl& a, GraphValue q,
                                   GraphValue k, GraphValue v, const TokenGrid& grid,
                                   double scale) {
  const auto& kind = a.options().kind;
  const WindowLayout layout(grid, kind.window, kind.shifted);
  const auto heads = a.options().heads, width = a.options().numbers_per_head();
  const auto prefix = grid.prefix, patches = grid.rows * grid.columns;
  const auto windows = layout.count(), tokens = layout.tokens();
  // Padding reads the first token, which the mask hides.
  const auto places =
      layout.cut(at::arange(patches, at::kLong).view({1, grid.rows, grid.columns, 1, 1}))
          .view({windows, tokens}) +
      prefix;
  const auto prefixes = at::arange(prefix, at::kLong).expand({windows, prefix});
  const auto key_places = at::cat({prefixes, places}, 1);
  const auto gathered = [&](GraphValue x, const at::Tensor& index) {
    const auto list = g.constant("window_tokens", index.flatten());
    return g.reshape(g.gather(x, list, 2), {-1, heads, windows, index.size(1), width});
  };

  std::optional<at::Tensor> bias;  // [heads, P + tokens, P + tokens]
  if (a.relative_bias) bias = a.relative_bias->of_plane(layout.rows, layout.columns).detach();
  std::optional<at::Tensor> mask;  // [1 or heads, 1 or windows, tokens, P + tokens]
  if (bias) mask = bias->narrow(1, prefix, tokens).unsqueeze(1);
  if (layout.shifts() || layout.pads()) {
    const auto hidden = layout.mask(at::kCPU).logical_not().to(at::kFloat) * kMasked;
    const auto of_windows =
        at::cat({at::zeros({windows, 1, tokens, prefix}), hidden}, 3).transpose(0, 1);
    mask = mask ? *mask + of_windows : of_windows;
  }
  const auto queries = gathered(q, places), keys = gathered(k, key_places),
             values = gathered(v, key_places);
  const auto inside = mask ? g.attention(queries, keys, values,
                                         g.constant("window_mask", mask->unsqueeze(0)), scale)
                           : g.attention(queries, keys, values, scale);
  const auto back =
      layout.join(at::arange(windows * tokens, at::kLong).view({1, windows, 1, tokens, 1}));
  const auto joined = g.gather(g.reshape(inside, {-1, heads, windows * tokens, width}),
                               g.constant("plane_tokens", back.flatten()), 2);
  if (prefix == 0) return joined;
  const auto first = g.slice(q, 2, 0, prefix);
  if (!bias) return g.concatenate({g.attention(first, k, v, scale), joined}, 2);
  const auto rows = bias->narrow(1, 0, prefix);
  // A prefix token has the same bias to all patches.
  const auto prefix_bias = at::cat(
      {rows.narrow(2, 0, prefix), rows.narrow(2, prefix, 1).expand({heads, prefix, patches})}, 2);
  const auto outside =
      g.attention(first, k, v, g.constant("prefix_bias", prefix_bias.unsqueeze(0)), scale);
  return g.concatenate({outside, joined}, 2);
}

/// Self-attention of the tokens `x` [B, L, width], to the same shape; or the row `pooled` of it,
/// [B, 1, width].
inline GraphValue describe_attention(GraphBuilder& g, const AttentionImpl& a, GraphValue x,
                                     const TokenGrid& grid,
                                     const std::optional<PooledRow>& pooled) {
  const auto scope = g.scope("attn");
  const auto& o = a.options();
  const auto heads = o.heads, width = o.numbers_per_head(), inner = o.inner();
  const auto length = grid.length();
  const bool global = o.kind.pattern == AttentionPattern::kGlobal;
  // Only these queries are independent of where their token stands.
  const bool once = pooled && global && !a.rotary && !a.relative_bias;
  const auto weight = a.effective_weight(a.in_proj_weight);
  const auto bias = a.projection_bias().value_or(at::Tensor());
  const auto split = [&](GraphValue y, std::int64_t part, std::int64_t tokens) {
    const auto columns = g.slice(y, 2, part * inner, (part + 1) * inner);
    return g.transpose(g.reshape(columns, {-1, tokens, heads, width}), {0, 2, 1, 3});
  };
  GraphValue q, k, v;
  const auto rows_of = [&](std::int64_t from, std::int64_t to) {
    return bias.defined() ? bias.slice(0, from, to) : bias;
  };
  if (once) {
    q = split(g.linear(pooled->of(g, x), weight.slice(0, 0, inner), rows_of(0, inner)), 0, 1);
    const auto kv = g.linear(x, weight.slice(0, inner, 3 * inner), rows_of(inner, 3 * inner));
    k = split(kv, 0, length);
    v = split(kv, 1, length);
  } else {
    const auto qkv = g.linear(x, weight, bias);
    q = split(qkv, 0, length);
    k = split(qkv, 1, length);
    v = split(qkv, 2, length);
  }
  if (a.q_norm) {
    q = describe_layer_norm(g, "q_norm", *a.q_norm, q);
    k = describe_layer_norm(g, "k_norm", *a.k_norm, k);
  }
  if (a.rotary) {
    q = describe_rotary(g, *a.rotary, q, grid);
    k = describe_rotary(g, *a.rotary, k, grid);
  }
  const double scale = 1.0 / std::sqrt(static_cast<double>(width));
  const auto mix = [&]() -> GraphValue {
    if (o.kind.pattern == AttentionPattern::kWindow)
      return describe_windows(g, a, q, k, v, grid, scale);
    if (!global) return describe_linear_attention(g, a, q, k, v, grid);
    if (o.causal) {
      const auto later = at::ones({length, length}).triu(1) * kMasked;
      auto mask = g.constant("causal_mask", later);
      if (once) {
        const auto rows = pooled->index ? g.gather(mask, *pooled->index, 0)
                                        : g.slice(mask, 0, pooled->row, pooled->row + 1);
        mask = g.reshape(rows, {pooled->index ? -1 : 1, 1, 1, length});
      }
      return g.attention(q, k, v, mask, scale);
    }
    if (!a.relative_bias) return g.attention(q, k, v, scale);
    const auto table = a.relative_bias->of_plane(grid.rows, grid.columns).detach().unsqueeze(0);
    return g.attention(q, k, v, g.constant("relative_bias", table), scale);
  };
  const auto mixed = g.transpose(mix(), {0, 2, 1, 3});
  auto rows = g.reshape(mixed, {-1, once ? 1 : length, inner});
  if (pooled && !once) rows = pooled->of(g, rows);
  if (a.norm) rows = describe_layer_norm(g, "norm", *a.norm, rows);
  const auto out = g.scope("out_proj");
  return g.linear(rows, a.out_proj->effective_weight(a.out_proj->weight), a.out_proj->bias);
}

}  // namespace contrapunto::detail
