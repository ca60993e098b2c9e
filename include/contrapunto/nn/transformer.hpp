// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "contrapunto/nn/activation_checkpoint.hpp"
#include "contrapunto/nn/block_parts.hpp"
#include "contrapunto/nn/residual_attention_block.hpp"

namespace contrapunto {

namespace detail {

/// Returns the options of each of the `layers` blocks of a transformer: those of `usual`, with the
/// heads that `layer_heads` and the hidden widths that `layer_hidden` lists for each layer, unless
/// the list is empty. The heads of all layers are as wide as those of `usual`. Raises, with the
/// name of the tower, for a list of another length and for negative numbers.
inline std::vector<ResidualAttentionBlockOptions> layer_blocks(
    const char* tower, std::int64_t layers, const ResidualAttentionBlockOptions& usual,
    const std::vector<std::int64_t>& layer_heads, const std::vector<std::int64_t>& layer_hidden) {
  TORCH_CHECK(layers > 0, tower, ": layers (", layers, ") must be positive");
  const auto check = [&](const char* what, const std::vector<std::int64_t>& list) {
    TORCH_CHECK(list.empty() || static_cast<std::int64_t>(list.size()) == layers, tower, ": ", what,
                " has ", list.size(), " entries, but there are ", layers,
                " layers; give each layer one");
    for (const auto entry : list)
      TORCH_CHECK(entry >= 0, tower, ": ", what, " (", at::IntArrayRef(list),
                  ") must not have negative entries");
  };
  check("layer_heads", layer_heads);
  check("layer_hidden", layer_hidden);
  const auto& attention = usual.attention;
  TORCH_CHECK(layer_heads.empty() || attention.head_width > 0 ||
                  (attention.heads > 0 && attention.width % attention.heads == 0),
              tower, ": width (", attention.width, ") must be a multiple of heads (",
              attention.heads, "), which gives the width of a head, or head_width must be set");
  std::vector<ResidualAttentionBlockOptions> blocks(static_cast<std::size_t>(layers), usual);
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (!layer_heads.empty()) {
      if (attention.head_width == 0)
        blocks[i].attention.head_width = attention.width / attention.heads;
      blocks[i].attention.heads = layer_heads[i];
    }
    if (!layer_hidden.empty()) blocks[i].mlp.hidden = layer_hidden[i];
  }
  return blocks;
}

}  // namespace detail

/// A sequence of blocks, named `resblocks.0` and so on. Tokens are one matrix [batch * L, width].
class TransformerImpl : public torch::nn::Module {
 public:
  /// `layers` blocks with the same options.
  TransformerImpl(std::int64_t layers, const ResidualAttentionBlockOptions& block,
                  const at::TensorOptions& tensor_options = {}, const BlockParts& parts = {})
      : TransformerImpl(detail::layer_blocks("Transformer", layers, block, {}, {}), tensor_options,
                        parts) {}

  /// A block for each entry of `blocks`, which must have one width. A block without heads is not
  /// offered to `parts.attention`.
  explicit TransformerImpl(const std::vector<ResidualAttentionBlockOptions>& blocks,
                           const at::TensorOptions& tensor_options = {},
                           const BlockParts& parts = {}) {
    TORCH_CHECK(!blocks.empty(), "Transformer: there must be at least one block");
    const auto list = register_module("resblocks", std::make_shared<torch::nn::Module>());
    for (const auto& block : blocks) {
      const auto i = static_cast<std::int64_t>(resblocks.size());
      const auto attention = parts.attention && block.attention.heads != 0
                                 ? parts.attention(i, block.attention, tensor_options)
                                 : AnyAttention();
      const auto mlp = parts.mlp ? parts.mlp(i, block.mlp, tensor_options) : AnyMlp();
      resblocks.push_back(list->register_module(
          std::to_string(i), ResidualAttentionBlock(block, tensor_options, attention, mlp)));
    }
  }

  /// Maps [batch * L, width] to the same shape.
  [[nodiscard]] at::Tensor forward(at::Tensor x, const TokenGrid& grid) {
    for (auto& block : resblocks) x = run(block, x, grid);
    return x;
  }

  /// Returns the rows `rows` (int64 [batch], one of each sequence) of `forward(x, grid)`, [batch,
  /// width]. The last block computes only these rows.
  [[nodiscard]] at::Tensor forward_once(at::Tensor x, const TokenGrid& grid,
                                        const at::Tensor& rows) {
    for (std::size_t i = 0; i + 1 < resblocks.size(); ++i) x = run(resblocks[i], x, grid);
    auto& last = resblocks.back();
    if (!checkpoint_) return last->forward_once(x, grid, rows);
    return activation_checkpoint(
        [last, grid, rows](const at::Tensor& z) mutable {
          return last->forward_once(z, grid, rows);
        },
        x, last->parameters());
  }

  /// Turns activation checkpointing on or off: forwards then keep only the input of each block, and
  /// the backward runs the block again; see activation_checkpoint.
  void checkpoint_activations(bool on) { checkpoint_ = on; }

  /// The sum of the costs of all blocks if every token passes through every layer.
  [[nodiscard]] ForwardCost cost(const TokenGrid& grid) const {
    ForwardCost sum;
    for (const auto& block : resblocks) sum += block->cost(grid);
    return sum;
  }

  /// The dtype to which the residual stream must be cast before the first block, which is that of
  /// the first matrix. Autocast casts by itself.
  [[nodiscard]] at::ScalarType dtype() const {
    for (const auto& parameter : resblocks.front()->parameters())
      if (parameter.dim() >= 2) return parameter.scalar_type();
    return at::kFloat;
  }

  std::vector<ResidualAttentionBlock> resblocks;

 private:
  at::Tensor run(ResidualAttentionBlock& block, const at::Tensor& x, const TokenGrid& grid) const {
    if (!checkpoint_) return block(x, grid);
    return activation_checkpoint(
        [block, grid](const at::Tensor& z) mutable { return block(z, grid); }, x,
        block->parameters());
  }

  bool checkpoint_ = false;
};
TORCH_MODULE(Transformer);

}  // namespace contrapunto
