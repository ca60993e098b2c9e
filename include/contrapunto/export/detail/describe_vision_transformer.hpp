// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>

#include "contrapunto/export/detail/describe_block.hpp"
#include "contrapunto/export/graph_builder.hpp"
#include "contrapunto/nn/attention_pool.hpp"
#include "contrapunto/nn/positional_embedding.hpp"
#include "contrapunto/nn/sequence_pool.hpp"
#include "contrapunto/nn/token_grid.hpp"
#include "contrapunto/towers/vision_transformer.hpp"

namespace contrapunto::detail {

/// Maps images [B, 3, H, W] to tokens [B, n, width].
inline GraphValue describe_patches(GraphBuilder& g, const VisionTransformerImpl& tower,
                                   GraphValue images) {
  const auto& o = tower.options();
  const auto grid = o.grid();
  if (tower.stem) {
    auto x = images;
    for (std::size_t i = 0; i < tower.stem->convs.size(); ++i) {
      const auto scope = g.scope("stem.convs." + std::to_string(i));
      const auto& conv = tower.stem->convs[i];
      x = g.convolution(x, conv->effective_weight(conv->weight), {}, 1, 1);
      x = g.relu(g.max_pool(x, 3, 2, 1));
    }
    return g.reshape(g.transpose(x, {0, 2, 3, 1}), {-1, grid * grid, o.width});
  }
  const auto scope = g.scope("conv1");
  const auto patch = o.patch_size;
  auto x = g.slice(g.slice(images, 2, 0, grid * patch), 3, 0, grid * patch);
  x = g.reshape(x, {-1, 3, grid, patch, grid, patch});
  x = g.reshape(g.transpose(x, {0, 2, 4, 1, 3, 5}), {-1, grid * grid, 3 * patch * patch});
  return g.linear(x, tower.conv1->effective_weight(tower.conv1->weight).flatten(1),
                  tower.conv1->bias.value_or(at::Tensor()));
}

/// What is added to the tokens, of which those before the patches are still 0: positions, the class
/// token and registers; [L, width].
inline at::Tensor token_offsets(const VisionTransformerImpl& tower) {
  const auto& o = tower.options();
  const auto prefix = tower.prefix(), patches = o.grid() * o.grid();
  auto offsets = at::zeros({prefix + patches, o.width});
  if (o.positions == ImagePositions::kSinCos)
    offsets.narrow(0, prefix, patches).add_(sincos_positions(o.grid(), o.grid(), o.width));
  if (const auto& learned = tower.positional_embedding; learned.defined())
    offsets.narrow(0, prefix + patches - learned.size(0), learned.size(0)).add_(learned.detach());
  if (o.class_token) offsets[0].add_(tower.class_embedding.detach());
  if (o.registers > 0)
    offsets.narrow(0, prefix - o.registers, o.registers).add_(tower.register_tokens.detach());
  return offsets;
}

/// Maps tokens [B, L, width] to [B, 1, width].
inline GraphValue describe_attention_pool(GraphBuilder& g, const AttentionPoolImpl& pool,
                                          GraphValue x) {
  const auto scope = g.scope("attn_pool");
  const auto width = pool.latent.numel(), heads = pool.heads(), head = width / heads;
  const auto length = g.shape_of(x)[1];
  // The query is the same for every image, so it is a constant.
  const auto scale = 1.0 / std::sqrt(static_cast<double>(head));
  const auto query = (pool.q->forward(pool.latent.view({1, width})) * scale).detach();
  const auto kv = describe_linear(g, "kv", *pool.kv, x);
  const auto part = [&](std::int64_t i, const std::vector<std::int64_t>& order) {
    const auto columns = g.slice(kv, 2, i * width, (i + 1) * width);
    return g.transpose(g.reshape(columns, {-1, length, heads, head}), order);
  };
  const auto scores = g.matmul(g.weight("query", query.view({1, heads, 1, head})),
                               part(0, {0, 2, 3, 1}));  // [B, heads, 1, L]
  const auto mixed = g.matmul(g.softmax(scores), part(1, {0, 2, 1, 3}));
  const auto pooled = describe_linear(g, "proj", *pool.proj, g.reshape(mixed, {-1, 1, width}));
  return g.add(pooled,
               describe_mlp(g, *pool.mlp, describe_layer_norm(g, "norm", *pool.norm, pooled)));
}

/// Maps tokens [B, L, width] to [B, 1, width], for every pool but the class token.
inline GraphValue describe_pool(GraphBuilder& g, const VisionTransformerImpl& tower, GraphValue x) {
  const auto& o = tower.options();
  if (o.pool == ImagePool::kAttention) return describe_attention_pool(g, *tower.attn_pool, x);
  if (o.pool == ImagePool::kAverage)
    return g.mean(g.slice(x, 1, tower.prefix(), g.shape_of(x)[1]), 1);
  const auto scope = g.scope("seq_pool");
  const auto scores = describe_linear(g, "score", *tower.seq_pool->score, x);
  return g.matmul(g.softmax(g.transpose(scores, {0, 2, 1})), x);
}

/// Maps normalized images [B, 3, image_size, image_size] to features [B, output_dim].
inline GraphValue describe_vision_transformer(GraphBuilder& g, const VisionTransformerImpl& tower,
                                              GraphValue images) {
  const auto& o = tower.options();
  const TokenGrid grid{.rows = o.grid(), .columns = o.grid(), .prefix = tower.prefix()};
  auto x = g.pad(describe_patches(g, tower, images), 1, grid.prefix, 0);
  if (grid.prefix > 0 || o.positions != ImagePositions::kNone)
    x = g.add(x, g.weight("tokens", token_offsets(tower)));
  if (o.pre_norm) x = describe_layer_norm(g, "ln_pre", *tower.ln_pre, x);
  const bool once = o.pool == ImagePool::kClassToken;
  x = describe_transformer(g, *tower.transformer, x, grid,
                           once ? std::optional(PooledRow{}) : std::nullopt);
  const auto normed = [&](GraphValue y) {
    return describe_layer_norm(g, "ln_post", *tower.ln_post, y);
  };
  if (once)
    x = normed(x);
  else
    x = o.norm_after_pool ? normed(describe_pool(g, tower, x)) : describe_pool(g, tower, normed(x));
  x = g.reshape(x, {-1, o.width});
  if (tower.head) return describe_linear(g, "head", *tower.head, x);
  return o.projection ? g.matmul(x, g.weight("proj", tower.effective_weight(tower.proj))) : x;
}

}  // namespace contrapunto::detail
