// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>
#include <torch/nn/module.h>

#include "contrapunto/nn/transformer.hpp"
#include "contrapunto/towers/modified_resnet.hpp"

namespace contrapunto {

/// Trades time for memory in every tower of ours within `model` (which may be one itself): forwards
/// keep the input of each block alone and backward runs the block again, a third more computation.
/// Gradients stay the same, bit for bit on the CPU. Raises when it finds no block to checkpoint.
inline void checkpoint_activations(torch::nn::Module& model, bool on = true) {
  bool found = false;
  const auto switch_in = [&](torch::nn::Module& module) {
    if (auto* transformer = module.as<TransformerImpl>()) {
      transformer->checkpoint_activations(on);
      found = true;
    } else if (auto* resnet = module.as<ModifiedResNetImpl>()) {
      resnet->checkpoint_activations(on);
      found = true;
    }
  };
  switch_in(model);  // modules() takes in the model itself only where a shared_ptr holds it
  for (const auto& module : model.modules(/*include_self=*/false)) switch_in(*module);
  TORCH_CHECK(found, "checkpoint_activations: '", model.name(),
              "' has no blocks that can be checkpointed; supported: Transformer (in "
              "VisionTransformer and TextTransformer) and ModifiedResNet. Wrap the blocks of other "
              "towers in activation_checkpoint() yourself");
}

}  // namespace contrapunto
