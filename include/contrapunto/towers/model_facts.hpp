// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "contrapunto/core/run_facts.hpp"
#include "contrapunto/nn/batch_norm.hpp"
#include "contrapunto/towers/activation_memory.hpp"
#include "contrapunto/towers/forward_gflops.hpp"
#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

namespace detail {

/// Elements that one sample keeps in a tower with activation checkpointing: the inputs of all
/// blocks, and the activations of the block that the backward is recomputing.
struct CheckpointedElements {
  double inputs = 0.0;
  double largest_block = 0.0;
};

/// Those of the blocks of a transformer of `tokens` tokens.
template <class TransformerOptions>
CheckpointedElements checkpointed_blocks(const TransformerOptions& o, std::int64_t tokens) {
  std::int64_t largest = 0;  // Of one token: inputs of both halves, attention and hidden layer.
  for (std::int64_t i = 0; i < o.layers; ++i) {
    const auto attention =
        o.heads_in(i) > 0 ? o.width + 4 * o.heads_in(i) * o.numbers_per_head() : 0;
    largest = std::max(largest, attention + o.width + o.hidden_in(i));
  }
  return {static_cast<double>(tokens * o.width * o.layers), static_cast<double>(tokens * largest)};
}

inline CheckpointedElements checkpointed_elements(const TextTransformerOptions& o) {
  return checkpointed_blocks(o, o.context_length);
}

/// The pixel patches, which the patch embedding multiplies, are also kept.
inline CheckpointedElements checkpointed_elements(const VisionTransformerOptions& o) {
  const auto patches = o.grid() * o.grid();
  auto elements = checkpointed_blocks(o, patches + o.prefix());
  if (o.stem == ImageStem::kPatches)
    elements.inputs += static_cast<double>(patches * 3 * o.patch_size * o.patch_size);
  return elements;
}

/// The stem is not checkpointed. Each of its three convolutions keeps its result twice.
inline CheckpointedElements checkpointed_elements(const ModifiedResNetOptions& o) {
  const auto stem_side = static_cast<double>(o.image_size / 2);
  CheckpointedElements elements{4.0 * stem_side * stem_side * static_cast<double>(o.width), 0.0};
  auto side = o.image_size / 4;
  auto in = o.width;
  for (std::size_t stage = 0; stage < o.layers.size(); ++stage) {
    const auto planes = o.width << stage;
    for (std::int64_t i = 0; i < o.layers[stage]; ++i) {
      elements.inputs += static_cast<double>(side * side * in);
      const auto pixels = static_cast<double>(side * side);
      const bool strided = i == 0 && stage > 0;
      if (strided) side /= 2;
      const auto pixels_out = static_cast<double>(side * side);
      const double block =
          2.0 * static_cast<double>(planes) * (2.0 * pixels + (i == 0 ? 8.0 : 4.0) * pixels_out);
      elements.largest_block = std::max(elements.largest_block, block);
      in = 4 * planes;
    }
  }
  return elements;
}

}  // namespace detail

/// Returns the facts that a plan of the run can derive from any `model`: the parameters of its
/// towers, which are its direct submodules, and whether any BatchNorm of the library is not
/// frozen or not synchronized. Call it after the towers are locked and batch norms are
/// synchronized.
[[nodiscard]] inline ModelFacts model_facts(const torch::nn::Module& model,
                                            const std::string& name) {
  ModelFacts facts{.name = name};
  const auto add_tower = [&](const std::string& tower_name,
                             const std::vector<at::Tensor>& parameters) {
    TowerFacts tower{.name = tower_name};
    for (const auto& parameter : parameters) {
      tower.parameters += parameter.numel();
      if (parameter.requires_grad()) tower.trainable_parameters += parameter.numel();
    }
    if (tower.parameters > 0) facts.towers.push_back(tower);
  };
  for (const auto& child : model.named_children())
    add_tower(child.key(), child.value()->parameters());
  add_tower("other", model.parameters(/*recurse=*/false));
  for (const auto& module : model.modules(/*include_self=*/false))
    if (const auto* norm = module->as<BatchNormImpl>(); norm != nullptr && !norm->frozen()) {
      facts.has_batch_norm = true;
      facts.has_local_batch_norm |= !norm->synchronized();
    }
  return facts;
}

/// The same, with the computation and memory of a forward pass of each of `encoders`, which encode
/// a sample together; a tower that encodes two views is listed twice. They are unknown if a tower
/// does not report its cost.
[[nodiscard]] inline ModelFacts model_facts(const torch::nn::Module& model, const std::string& name,
                                            const std::vector<AnyTower>& encoders) {
  auto facts = model_facts(model, name);
  double macs = 0.0, kept_elements = 0.0;
  for (const auto& encoder : encoders) {
    const auto cost = encoder.cost();
    if (!cost) return facts;
    macs += cost->macs;
    kept_elements += cost->kept_elements;
  }
  facts.forward_gflops = 2e-9 * macs;
  facts.activation_elements = kept_elements;
  return facts;
}

/// Returns the facts of a sample of a model of `config`: the computation and memory of a forward
/// pass, counted as if every tower were trained.
[[nodiscard]] inline ModelFacts sample_facts(const ModelConfig& config) {
  ModelFacts facts{.name = config.name};
  facts.forward_gflops = forward_gflops(config).total();
  facts.activation_elements = activation_bytes(config, /*element_bytes=*/1.0);
  const auto image =
      std::visit([](const auto& o) { return detail::checkpointed_elements(o); }, config.image);
  const auto text = config.image_only ? detail::CheckpointedElements()
                                      : detail::checkpointed_elements(config.text);
  facts.checkpointed_elements =
      image.inputs + text.inputs + std::max(image.largest_block, text.largest_block);
  return facts;
}

/// Returns model_facts() with the facts that the `config` of `model` adds: those of sample_facts(),
/// the length of texts and the activation. Set `checkpoints_activations` in the result if
/// activations are checkpointed.
[[nodiscard]] inline ModelFacts model_facts(const torch::nn::Module& model,
                                            const ModelConfig& config) {
  auto facts = model_facts(model, config.name);
  const auto sample = sample_facts(config);
  facts.forward_gflops = sample.forward_gflops;
  facts.activation_elements = sample.activation_elements;
  facts.checkpointed_elements = sample.checkpointed_elements;
  if (config.image_only) return facts;
  facts.text_context = config.text.context_length;
  facts.quick_gelu = config.text.activation == Activation::kQuickGelu;
  return facts;
}

}  // namespace contrapunto
