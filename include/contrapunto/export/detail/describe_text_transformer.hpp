// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "contrapunto/export/detail/describe_block.hpp"
#include "contrapunto/export/graph_builder.hpp"
#include "contrapunto/nn/token_grid.hpp"
#include "contrapunto/towers/text_transformer.hpp"

namespace contrapunto::detail {

/// Maps tokens int64 [B, context_length] to features [B, output_dim].
inline GraphValue describe_text_transformer(GraphBuilder& g, const TextTransformerImpl& tower,
                                            GraphValue tokens) {
  const auto& o = tower.options();
  auto x = g.gather(g.weight("token_embedding.weight", tower.token_weight), tokens, 0);
  x = g.add(x, g.weight("positional_embedding", tower.positional_embedding));
  PooledRow pooled{.row = o.context_length - 1};
  if (o.pool == TextPool::kEndToken) pooled.index = g.arg_max(tokens);
  const TokenGrid grid{.columns = o.context_length};
  x = describe_transformer(g, *tower.transformer, x, grid, pooled);
  x = g.reshape(describe_layer_norm(g, "ln_final", *tower.ln_final, x), {-1, o.width});
  if (o.projection_bias) return describe_linear(g, "text_projection", *tower.projection, x);
  return g.matmul(x, g.weight("text_projection", tower.effective_weight(tower.text_projection)));
}

}  // namespace contrapunto::detail
