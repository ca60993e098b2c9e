// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "contrapunto/core/state.hpp"
#include "contrapunto/towers/model_config.hpp"
#include "contrapunto/towers/open_clip_state.hpp"

namespace contrapunto {

namespace detail {

/// Reads shapes from a state and names what is missing.
class StateShapes {
 public:
  explicit StateShapes(const TensorMap& state) : state_(state) {}

  [[nodiscard]] bool has(const std::string& name) const { return state_.contains(name); }

  /// Whether any name begins with `prefix`.
  [[nodiscard]] bool has_any(const std::string& prefix) const {
    const auto next = state_.lower_bound(prefix);
    return next != state_.end() && next->first.starts_with(prefix);
  }

  /// Raises unless the tensor `name` exists and has `dim` dimensions.
  [[nodiscard]] at::IntArrayRef sizes(const std::string& name, std::int64_t dim) const {
    const auto found = state_.find(name);
    TORCH_CHECK(found != state_.end(), "config_of_state: there is no tensor '", name,
                "', from which the configuration follows; these are not the weights of an OpenCLIP "
                "ViT or ModifiedResNet with a text transformer");
    TORCH_CHECK(found->second.dim() == dim, "config_of_state: the tensor '", name, "' is ",
                found->second.sizes(), ", expected ", dim, " dimensions");
    return found->second.sizes();
  }

  /// The number of consecutive indices i, from 0, for which a name begins with `prefix` + i + ".".
  [[nodiscard]] std::int64_t count(const std::string& prefix) const {
    std::int64_t i = 0;
    while (has_any(prefix + std::to_string(i) + ".")) ++i;
    TORCH_CHECK(i > 0, "config_of_state: there is no tensor with the prefix '", prefix,
                "0.'; these are not the weights of an OpenCLIP ViT or ModifiedResNet with a text "
                "transformer");
    return i;
  }

  /// The side of the square grid of the positions `name` [prefix + side^2, width].
  [[nodiscard]] std::int64_t side(const std::string& name, std::int64_t prefix) const {
    const auto positions = sizes(name, 2)[0] - prefix;
    const auto root =
        std::llround(std::sqrt(static_cast<double>(std::max<std::int64_t>(positions, 0))));
    TORCH_CHECK(root > 0 && root * root == positions, "config_of_state: '", name, "' has ",
                positions,
                " positions of patches, which is not a square; only square images are "
                "supported");
    return root;
  }

 private:
  const TensorMap& state_;
};

/// Sets the layers, heads and hidden widths of a transformer whose names begin with `prefix`.
/// `o.width` must be set.
template <class TransformerOptions>
void derive_layers(TransformerOptions& o, const StateShapes& shapes, const std::string& prefix,
                   std::int64_t head_width) {
  const auto blocks = prefix + "transformer.resblocks.";
  o.layers = shapes.count(blocks);
  std::vector<std::int64_t> heads, hidden;
  for (std::int64_t i = 0; i < o.layers; ++i) {
    const auto block = blocks + std::to_string(i) + ".";
    hidden.push_back(shapes.sizes(block + "mlp.c_fc.weight", 2)[0]);
    // A layer whose heads were all removed has no tensors of attention.
    const auto in_proj = block + "attn.in_proj_weight";
    const auto rows = shapes.has(in_proj) ? shapes.sizes(in_proj, 2)[0] : 0;
    TORCH_CHECK(rows % (3 * head_width) == 0, "config_of_state: '", in_proj, "' has ", rows,
                " rows, which are not queries, keys and values of heads of ", head_width,
                " numbers; pass the head_width of this model");
    heads.push_back(rows / (3 * head_width));
  }
  const auto most = std::max<std::int64_t>(*std::max_element(heads.begin(), heads.end()), 1);
  const auto alike = [](const std::vector<std::int64_t>& list) {
    return std::all_of(list.begin(), list.end(),
                       [&](std::int64_t entry) { return entry == list.front(); });
  };
  o.heads = most;
  o.head_width = most * head_width == o.width ? 0 : head_width;
  o.layer_heads = alike(heads) && heads.front() == most ? std::vector<std::int64_t>() : heads;
  o.mlp_ratio = static_cast<double>(hidden.front()) / static_cast<double>(o.width);
  // The rounding of the ratio could lose a unit.
  o.layer_hidden =
      alike(hidden) && o.hidden() == hidden.front() ? std::vector<std::int64_t>() : hidden;
}

inline VisionTransformerOptions derive_vit(const StateShapes& shapes, std::int64_t head_width) {
  VisionTransformerOptions o;
  const auto patches = shapes.sizes("visual.conv1.weight", 4);
  o.width = patches[0];
  o.patch_size = patches[3];
  o.class_token = shapes.has("visual.class_embedding");
  o.pool = o.class_token ? ImagePool::kClassToken : ImagePool::kAverage;
  TORCH_CHECK(!shapes.has_any("visual.attn_pool."),
              "config_of_state: the image tower pools by attention, whose number of heads does not "
              "follow from shapes; set up its ModelConfig in code");
  o.image_size = o.patch_size * shapes.side("visual.positional_embedding", o.class_token ? 1 : 0);
  o.pre_norm = shapes.has("visual.ln_pre.weight");
  o.patch_bias = shapes.has("visual.conv1.bias");
  o.projection = shapes.has("visual.proj");
  o.output_dim = o.projection ? shapes.sizes("visual.proj", 2)[1] : o.width;
  derive_layers(o, shapes, "visual.", head_width);
  return o;
}

inline ModifiedResNetOptions derive_resnet(const StateShapes& shapes, std::int64_t head_width) {
  ModifiedResNetOptions o;
  o.width = shapes.sizes("visual.conv3.weight", 4)[0];
  for (std::size_t stage = 0; stage < o.layers.size(); ++stage)
    o.layers[stage] = shapes.count("visual.layer" + std::to_string(stage + 1) + ".");
  TORCH_CHECK(32 * o.width % head_width == 0, "config_of_state: the attention pool has a width of ",
              32 * o.width, ", which is not a multiple of head_width (", head_width,
              "); pass the head_width of this model");
  o.heads = 32 * o.width / head_width;
  o.image_size = 32 * shapes.side("visual.attnpool.positional_embedding", 1);
  o.output_dim = shapes.sizes("visual.attnpool.c_proj.weight", 2)[0];
  return o;
}

}  // namespace detail

/// Derives the configuration of a model from the shapes of its OpenCLIP state, whose values are not
/// read: a ViT or ModifiedResNet, and a text transformer. Layers may differ in their heads and in
/// the width of their MLP, as in the models that TinyCLIP extracts automatically. The number of
/// heads does not follow from shapes: each head has `head_width` numbers in the image tower and
/// `text_head_width` in the text tower. Both are 64 in the published models up to ViT-L; the image
/// tower of ViT-H-14 has 80. The image size follows from the grid of positions and the patch size.
/// What shapes do not show is as in OpenCLIP's own models: GELU (set Activation::kQuickGelu in both
/// towers for OpenAI's weights), pooling of the class token and of the end token, causal texts. A
/// state with `logit_bias` gets the head of the sigmoid loss. Raises if a tensor that is needed is
/// missing, and for a tower of timm, whose names begin with "visual.trunk.".
[[nodiscard]] inline ModelConfig config_of_state(const TensorMap& state,
                                                 std::int64_t head_width = 64,
                                                 std::int64_t text_head_width = 64) {
  TORCH_CHECK(head_width > 0 && text_head_width > 0, "config_of_state: head_width (", head_width,
              ") and text_head_width (", text_head_width, ") must be positive");
  const auto tidy = detail::tidy_open_clip_names(state, /*custom_text=*/false);
  const detail::StateShapes shapes(tidy);
  ModelConfig config;
  config.name = "the model of these weights";
  config.custom_text = std::any_of(state.begin(), state.end(), [](const auto& item) {
    return detail::unwrapped_name(item.first).starts_with("text.");
  });
  TORCH_CHECK(!shapes.has_any("visual.trunk."),
              "config_of_state: the image tower has timm's names (visual.trunk.), for which no "
              "configuration is derived; use its name, such as ViT-B-16-SigLIP");
  if (shapes.has_any("visual.layer1."))
    config.image = detail::derive_resnet(shapes, head_width);
  else
    config.image = detail::derive_vit(shapes, head_width);
  config.embed_dim = std::visit([](const auto& o) { return o.output_dim; }, config.image);

  auto& text = config.text;
  const auto tokens = shapes.sizes("token_embedding.weight", 2);
  text.vocab_size = tokens[0];
  text.width = tokens[1];
  text.context_length = shapes.sizes("positional_embedding", 2)[0];
  text.projection_bias = shapes.has("text_projection.bias");
  text.output_dim = text.projection_bias ? shapes.sizes("text_projection.weight", 2)[0]
                                         : shapes.sizes("text_projection", 2)[1];
  detail::derive_layers(text, shapes, "", text_head_width);
  TORCH_CHECK(text.output_dim == config.embed_dim, "config_of_state: images have features of ",
              config.embed_dim, " numbers and texts of ", text.output_dim,
              "; these are not the weights of one model");
  return shapes.has("logit_bias") ? with_sigmoid_head(config) : config;
}

}  // namespace contrapunto
