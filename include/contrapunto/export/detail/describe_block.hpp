// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cstddef>
#include <optional>
#include <string>
#include <typeinfo>

#include "contrapunto/export/detail/describe_attention.hpp"
#include "contrapunto/export/graph_builder.hpp"
#include "contrapunto/nn/activation.hpp"
#include "contrapunto/nn/layer_scale.hpp"
#include "contrapunto/nn/linear.hpp"
#include "contrapunto/nn/mlp.hpp"
#include "contrapunto/nn/residual_attention_block.hpp"
#include "contrapunto/nn/swiglu_mlp.hpp"
#include "contrapunto/nn/token_grid.hpp"
#include "contrapunto/nn/transformer.hpp"

namespace contrapunto::detail {

/// Returns `part` as the library's own `Part`. A class derived from it may do something else, so it
/// is not accepted.
template <class Part>
const Part* own_part(const torch::nn::Module& part) {
  return typeid(part) == typeid(Part) ? static_cast<const Part*>(&part) : nullptr;
}

inline GraphValue describe_linear(GraphBuilder& g, const char* name, const LinearImpl& linear,
                                  GraphValue x) {
  const auto scope = g.scope(name);
  return g.linear(x, linear.effective_weight(linear.weight), linear.bias);
}

inline GraphValue describe_activation(GraphBuilder& g, Activation activation, GraphValue x) {
  switch (activation) {
    case Activation::kGelu:
      return g.gelu(x);
    case Activation::kQuickGelu:
      return g.multiply(x, g.sigmoid(g.multiply(x, 1.702)));
  }
  TORCH_INTERNAL_ASSERT(false, "unknown Activation");
}

/// Maps tokens [B, L, width] to the same shape.
inline GraphValue describe_mlp(GraphBuilder& g, const torch::nn::Module& mlp, GraphValue x) {
  const auto scope = g.scope("mlp");
  if (const auto* plain = own_part<MlpImpl>(mlp)) {
    if (plain->hidden() == 0) {
      // Only the bias of the last layer is left.
      return g.add(g.multiply(x, 0.0), g.weight("c_proj.bias", plain->c_proj->bias));
    }
    const auto hidden = describe_linear(g, "c_fc", *plain->c_fc, x);
    return describe_linear(g, "c_proj", *plain->c_proj,
                           describe_activation(g, plain->activation(), hidden));
  }
  const auto* gated = own_part<SwiGluMlpImpl>(mlp);
  TORCH_CHECK(gated != nullptr, "export: the MLP '", mlp.name(),
              "' is not one of the library, so there is no description of its graph; describe the "
              "tower yourself with GraphBuilder, see docs/guides/export.md");
  const auto both = describe_linear(g, "c_fc", *gated->c_fc, x);
  const auto gate = g.slice(both, 2, 0, gated->hidden());
  const auto values = g.slice(both, 2, gated->hidden(), 2 * gated->hidden());
  auto hidden = g.multiply(g.multiply(gate, g.sigmoid(gate)), values);
  if (gated->norm) hidden = describe_layer_norm(g, "norm", *gated->norm, hidden);
  return describe_linear(g, "c_proj", *gated->c_proj, hidden);
}

/// Maps tokens [B, L, width] to the same shape, or to the row `pooled`, [B, 1, width].
inline GraphValue describe_block(GraphBuilder& g, const ResidualAttentionBlockImpl& block,
                                 GraphValue x, const TokenGrid& grid,
                                 const std::optional<PooledRow>& pooled) {
  const auto picked = [&](GraphValue tokens) { return pooled ? pooled->of(g, tokens) : tokens; };
  const auto scaled = [&](GraphValue branch, const char* name, const LayerScale& scale) {
    if (!scale) return branch;
    return g.multiply(branch, g.weight(std::string(name) + ".gamma", scale->gamma));
  };
  const auto add_mlp = [&](GraphValue y, GraphValue normed) {
    return g.add(y, scaled(describe_mlp(g, *block.mlp, normed), "ls_2", block.ls_2));
  };
  const auto y = picked(x);
  if (!block.attn) return add_mlp(y, describe_layer_norm(g, "ln_2", *block.ln_2, y));
  const auto* attention = own_part<AttentionImpl>(*block.attn);
  TORCH_CHECK(attention != nullptr, "export: the attention '", block.attn->name(),
              "' is not one of the library, so there is no description of its graph; describe the "
              "tower yourself with GraphBuilder, see docs/guides/export.md");
  const auto normed = describe_layer_norm(g, "ln_1", *block.ln_1, x);
  const auto mixed = describe_attention(g, *attention, normed, grid, pooled);
  const auto z = g.add(y, scaled(mixed, "ls_1", block.ls_1));
  if (block.order() == BlockOrder::kParallel) return add_mlp(z, picked(normed));
  const auto after = describe_layer_norm(g, "ln_2", *block.ln_2, z);
  return add_mlp(block.order() == BlockOrder::kNormedStream ? after : z, after);
}

/// Maps tokens [B, L, width] to the same shape, or to the row `pooled`, [B, 1, width].
inline GraphValue describe_transformer(GraphBuilder& g, const TransformerImpl& transformer,
                                       GraphValue x, const TokenGrid& grid,
                                       const std::optional<PooledRow>& pooled) {
  const auto& blocks = transformer.resblocks;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const auto scope = g.scope("transformer.resblocks." + std::to_string(i));
    const bool last = i + 1 == blocks.size();
    x = describe_block(g, *blocks[i], x, grid, last ? pooled : std::nullopt);
  }
  return x;
}

}  // namespace contrapunto::detail
