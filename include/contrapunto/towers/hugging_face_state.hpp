// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/core/state.hpp"

namespace contrapunto {

namespace detail {

/// A tensor of OpenCLIP and what it is in CLIPModel of Hugging Face's transformers. "#" stands for
/// the number of the layer.
struct HuggingFaceTensor {
  std::string ours;
  std::string theirs;
  bool transposed = false;  ///< OpenCLIP has [in, out], and a linear layer has [out, in].
  int part = -1;  ///< Of the joint rows of queries, keys and values, which are three tensors there.
};

inline const std::vector<HuggingFaceTensor>& hugging_face_tensors() {
  static const auto tensors = [] {
    std::vector<HuggingFaceTensor> all{
        {"logit_scale", "logit_scale"},
        {"visual.class_embedding", "vision_model.embeddings.class_embedding"},
        {"visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"},
        {"visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight"},
        {"visual.proj", "visual_projection.weight", /*transposed=*/true},
        {"token_embedding.weight", "text_model.embeddings.token_embedding.weight"},
        {"positional_embedding", "text_model.embeddings.position_embedding.weight"},
        {"text_projection", "text_projection.weight", /*transposed=*/true}};
    for (const std::string end : {"weight", "bias"}) {
      const auto add = [&](const std::string& ours, const std::string& theirs, int part = -1) {
        all.push_back({ours + end, theirs + end, /*transposed=*/false, part});
      };
      add("visual.ln_pre.", "vision_model.pre_layrnorm.");  // As it is spelled there.
      add("visual.ln_post.", "vision_model.post_layernorm.");
      add("ln_final.", "text_model.final_layer_norm.");
      for (const auto& [tower, model] : {std::pair<std::string, std::string>{"visual.", "vision"},
                                         std::pair<std::string, std::string>{"", "text"}}) {
        const auto ours = tower + "transformer.resblocks.#.";
        const auto theirs = model + "_model.encoder.layers.#.";
        add(ours + "ln_1.", theirs + "layer_norm1.");
        add(ours + "ln_2.", theirs + "layer_norm2.");
        add(ours + "attn.in_proj_", theirs + "self_attn.q_proj.", 0);
        add(ours + "attn.in_proj_", theirs + "self_attn.k_proj.", 1);
        add(ours + "attn.in_proj_", theirs + "self_attn.v_proj.", 2);
        add(ours + "attn.out_proj.", theirs + "self_attn.out_proj.");
        add(ours + "mlp.c_fc.", theirs + "mlp.fc1.");
        add(ours + "mlp.c_proj.", theirs + "mlp.fc2.");
      }
    }
    return all;
  }();
  return tensors;
}

/// Divides a name into one with "#" in place of the number of its layer, and this number, which is
/// empty outside of layers.
inline std::pair<std::string, std::string> without_layer(const std::string& name) {
  for (const std::string_view before : {"resblocks.", "encoder.layers."}) {
    const auto at = name.find(before);
    if (at == std::string::npos) continue;
    const auto begin = at + before.size();
    const auto end = name.find('.', begin);
    if (end == std::string::npos) continue;
    return {name.substr(0, begin) + "#" + name.substr(end), name.substr(begin, end - begin)};
  }
  return {name, ""};
}

/// The inverse of without_layer().
inline std::string with_layer(std::string name, const std::string& layer) {
  const auto at = name.find('#');
  return at == std::string::npos ? name : name.replace(at, 1, layer);
}

}  // namespace detail

/// Whether `state` has the names of CLIPModel in Hugging Face's transformers.
[[nodiscard]] inline bool is_hugging_face_state(const TensorMap& state) {
  return state.contains("text_model.embeddings.token_embedding.weight") &&
         state.contains("vision_model.embeddings.patch_embedding.weight");
}

/// Converts `state`, an open_clip_state() of a CLIP model with a ViT, to the names of CLIPModel in
/// Hugging Face's transformers. Tensors share memory with `state` if possible. Raises for a tensor
/// that CLIPModel does not have, such as those of a ModifiedResNet or of SigLIP.
[[nodiscard]] inline TensorMap hugging_face_state(const TensorMap& state) {
  TensorMap converted;
  for (const auto& [name, tensor] : state) {
    const auto [pattern, layer] = detail::without_layer(name);
    bool known = false;
    for (const auto& row : detail::hugging_face_tensors()) {
      if (row.ours != pattern) continue;
      known = true;
      converted.emplace(detail::with_layer(row.theirs, layer),
                        row.transposed  ? tensor.t().contiguous()
                        : row.part >= 0 ? tensor.chunk(3, 0).at(static_cast<std::size_t>(row.part))
                                        : tensor);
    }
    TORCH_CHECK(
        known, "hugging_face_state: the tensor '", name,
        "' has no place in CLIPModel of transformers, which is a ViT with a class token and "
        "a causal text transformer; export this model in OpenCLIP's format");
  }
  return converted;
}

/// The inverse of hugging_face_state(): a state of CLIPModel with OpenCLIP's names. Positions that
/// older versions saved (`position_ids`) are left out. Raises for a tensor that CLIPModel does not
/// have, and if one of queries, keys and values is missing.
[[nodiscard]] inline TensorMap open_clip_from_hugging_face(const TensorMap& state) {
  const auto& rows = detail::hugging_face_tensors();
  TensorMap converted;
  std::map<std::string, std::array<at::Tensor, 3>> joint;
  for (const auto& [name, tensor] : state) {
    if (name.ends_with("position_ids")) continue;
    const auto [pattern, layer] = detail::without_layer(name);
    const auto row = std::find_if(rows.begin(), rows.end(), [&theirs = pattern](const auto& r) {
      return r.theirs == theirs;
    });
    TORCH_CHECK(row != rows.end(), "open_clip_from_hugging_face: CLIPModel has no tensor '", name,
                "'; only CLIP models with a ViT are read");
    const auto ours = detail::with_layer(row->ours, layer);
    if (row->part >= 0)
      joint[ours].at(static_cast<std::size_t>(row->part)) = tensor;
    else
      converted.emplace(ours, row->transposed ? tensor.t().contiguous() : tensor);
  }
  for (const auto& [name, parts] : joint) {
    TORCH_CHECK(parts[0].defined() && parts[1].defined() && parts[2].defined(),
                "open_clip_from_hugging_face: one of q_proj, k_proj and v_proj for '", name,
                "' is missing; the file is incomplete");
    converted.emplace(name, at::cat({parts[0], parts[1], parts[2]}, 0));
  }
  return converted;
}

}  // namespace contrapunto
