// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "contrapunto/nn/activation_checkpoint.hpp"
#include "contrapunto/nn/residual_attention_block.hpp"

namespace contrapunto {

/// Blocks in a row, named `resblocks.0` and on. Tokens are one matrix [batch * L, width].
class TransformerImpl : public torch::nn::Module {
 public:
  TransformerImpl(std::int64_t layers, const ResidualAttentionBlockOptions& block,
                  const at::TensorOptions& where = {}) {
    TORCH_CHECK(layers > 0, "Transformer: layers (", layers, ") must be positive");
    const auto list = register_module("resblocks", std::make_shared<torch::nn::Module>());
    for (std::int64_t i = 0; i < layers; ++i)
      resblocks.push_back(
          list->register_module(std::to_string(i), ResidualAttentionBlock(block, where)));
  }

  /// [batch * L, width] to the same.
  [[nodiscard]] at::Tensor forward(at::Tensor x, std::int64_t batch, bool causal) {
    for (auto& block : resblocks) x = run(block, x, batch, causal);
    return x;
  }

  /// The rows `rows` (int64 [batch]) of `forward(x)`; `keep` [batch, 1, L] is true where those
  /// rows may look in the last block. Returns [batch, width].
  [[nodiscard]] at::Tensor forward_once(at::Tensor x, std::int64_t batch, bool causal,
                                        const at::Tensor& rows,
                                        const std::optional<at::Tensor>& keep) {
    for (std::size_t i = 0; i + 1 < resblocks.size(); ++i) x = run(resblocks[i], x, batch, causal);
    auto& last = resblocks.back();
    if (!checkpoint_) return last->forward_once(x, rows, keep);
    return activation_checkpoint(
        [last, rows, keep](const at::Tensor& z) mutable {
          return last->forward_once(z, rows, keep);
        },
        x, last->parameters());
  }

  /// From now on forwards keep only the input of each block and backward runs the block again (see
  /// activation_checkpoint), or no longer.
  void checkpoint_activations(bool on) { checkpoint_ = on; }

  /// What the stream must be cast to before the first block; autocast casts by itself.
  [[nodiscard]] at::ScalarType dtype() const {
    return resblocks.front()->attn->in_proj_weight.scalar_type();
  }

  std::vector<ResidualAttentionBlock> resblocks;

 private:
  at::Tensor run(ResidualAttentionBlock& block, const at::Tensor& x, std::int64_t batch,
                 bool causal) const {
    if (!checkpoint_) return block(x, batch, causal);
    return activation_checkpoint(
        [block, batch, causal](const at::Tensor& z) mutable { return block(z, batch, causal); }, x,
        block->parameters());
  }

  bool checkpoint_ = false;
};
TORCH_MODULE(Transformer);

}  // namespace contrapunto
