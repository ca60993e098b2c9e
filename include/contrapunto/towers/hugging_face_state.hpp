// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <c10/util/Exception.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "contrapunto/core/state.hpp"

namespace contrapunto {

namespace detail {

/// How a tensor of OpenCLIP becomes one or several of CLIPModel in Hugging Face's transformers.
enum class HuggingFaceForm {
  kSame,
  kTransposed,  ///< OpenCLIP has [in, out], and a linear layer has [out, in].
  kJoint        ///< Rows of queries, keys and values, which are three tensors there.
};

struct HuggingFaceName {
  std::string name;  ///< With "*" for q_proj, k_proj and v_proj if the tensor is joint.
  HuggingFaceForm form = HuggingFaceForm::kSame;
};

/// Names outside of the blocks: OpenCLIP's and Hugging Face's.
inline const std::map<std::string, HuggingFaceName>& hugging_face_names() {
  static const std::map<std::string, HuggingFaceName> names{
      {"logit_scale", {"logit_scale"}},
      {"visual.class_embedding", {"vision_model.embeddings.class_embedding"}},
      {"visual.positional_embedding", {"vision_model.embeddings.position_embedding.weight"}},
      {"visual.conv1.weight", {"vision_model.embeddings.patch_embedding.weight"}},
      {"visual.ln_pre.weight", {"vision_model.pre_layrnorm.weight"}},  // As it is spelled there.
      {"visual.ln_pre.bias", {"vision_model.pre_layrnorm.bias"}},
      {"visual.ln_post.weight", {"vision_model.post_layernorm.weight"}},
      {"visual.ln_post.bias", {"vision_model.post_layernorm.bias"}},
      {"visual.proj", {"visual_projection.weight", HuggingFaceForm::kTransposed}},
      {"token_embedding.weight", {"text_model.embeddings.token_embedding.weight"}},
      {"positional_embedding", {"text_model.embeddings.position_embedding.weight"}},
      {"ln_final.weight", {"text_model.final_layer_norm.weight"}},
      {"ln_final.bias", {"text_model.final_layer_norm.bias"}},
      {"text_projection", {"text_projection.weight", HuggingFaceForm::kTransposed}}};
  return names;
}

/// Names inside of a block, without ".weight" and ".bias".
inline constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kHuggingFaceBlock{
    {{"ln_1", "layer_norm1"},
     {"ln_2", "layer_norm2"},
     {"attn.out_proj", "self_attn.out_proj"},
     {"mlp.c_fc", "mlp.fc1"},
     {"mlp.c_proj", "mlp.fc2"}}};
inline constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kHuggingFaceBlocks{
    {{"visual.transformer.resblocks.", "vision_model.encoder.layers."},
     {"transformer.resblocks.", "text_model.encoder.layers."}}};

/// Returns Hugging Face's name for the tensor `name` of OpenCLIP; empty if it has none.
inline HuggingFaceName hugging_face_name(const std::string& name) {
  if (const auto found = hugging_face_names().find(name); found != hugging_face_names().end())
    return found->second;
  for (const auto& [ours, theirs] : kHuggingFaceBlocks) {
    if (!name.starts_with(ours)) continue;
    const auto dot = name.find('.', ours.size());
    if (dot == std::string::npos) return {};
    const auto layer = std::string(theirs) + name.substr(ours.size(), dot + 1 - ours.size());
    const auto rest = name.substr(dot + 1);
    for (const auto* part : {"weight", "bias"}) {
      if (rest == std::string("attn.in_proj_") + part)
        return {layer + "self_attn.*." + part, HuggingFaceForm::kJoint};
      for (const auto& [own, other] : kHuggingFaceBlock)
        if (rest == std::string(own) + "." + part) return {layer + std::string(other) + "." + part};
    }
  }
  return {};
}

inline constexpr std::array<const char*, 3> kHuggingFaceProjections{"q_proj", "k_proj", "v_proj"};

/// Returns `pattern` with `projection` in place of "*".
inline std::string with_projection(std::string pattern, const char* projection) {
  return pattern.replace(pattern.find('*'), 1, projection);
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
    const auto theirs = detail::hugging_face_name(name);
    TORCH_CHECK(
        !theirs.name.empty(), "hugging_face_state: the tensor '", name,
        "' has no place in CLIPModel of transformers, which is a ViT with a class token and "
        "a causal text transformer; export this model in OpenCLIP's format");
    switch (theirs.form) {
      case detail::HuggingFaceForm::kSame:
        converted.emplace(theirs.name, tensor);
        break;
      case detail::HuggingFaceForm::kTransposed:
        converted.emplace(theirs.name, tensor.t().contiguous());
        break;
      case detail::HuggingFaceForm::kJoint: {
        const auto parts = tensor.chunk(3, 0);
        for (std::size_t i = 0; i < 3; ++i)
          converted.emplace(
              detail::with_projection(theirs.name, detail::kHuggingFaceProjections[i]),
              parts[i].contiguous());
        break;
      }
    }
  }
  return converted;
}

/// The inverse of hugging_face_state(): a state of CLIPModel with OpenCLIP's names. Positions that
/// older versions saved (`position_ids`) are left out. Raises for a tensor that CLIPModel does not
/// have, and if one of queries, keys and values is missing.
[[nodiscard]] inline TensorMap open_clip_from_hugging_face(const TensorMap& state) {
  // Their names and where they belong.
  std::map<std::string, std::pair<std::string, detail::HuggingFaceForm>> ours;
  for (const auto& [name, theirs] : detail::hugging_face_names())
    ours.emplace(theirs.name, std::pair(name, theirs.form));
  const auto block_name = [](const std::string& name) -> std::pair<std::string, std::string> {
    for (const auto& [own, other] : detail::kHuggingFaceBlocks) {
      if (!name.starts_with(other)) continue;
      const auto dot = name.find('.', other.size());
      if (dot != std::string::npos)
        return {std::string(own) + name.substr(other.size(), dot + 1 - other.size()),
                name.substr(dot + 1)};
    }
    return {};
  };
  TensorMap converted;
  std::map<std::string, std::array<at::Tensor, 3>> joint;
  for (const auto& [name, tensor] : state) {
    if (name.ends_with("position_ids")) continue;
    if (const auto found = ours.find(name); found != ours.end()) {
      const bool turn = found->second.second == detail::HuggingFaceForm::kTransposed;
      converted.emplace(found->second.first, turn ? tensor.t().contiguous() : tensor);
      continue;
    }
    const auto [layer, rest] = block_name(name);
    bool known = false;
    for (const std::string part : {"weight", "bias"}) {
      for (const auto& [own, other] : detail::kHuggingFaceBlock)
        if (!layer.empty() && rest == std::string(other) + "." + part) {
          converted.emplace(layer + std::string(own) + "." + part, tensor);
          known = true;
        }
      for (std::size_t i = 0; i < 3; ++i)
        if (rest == std::string("self_attn.") + detail::kHuggingFaceProjections[i] + "." + part) {
          joint[layer + "attn.in_proj_" + part][i] = tensor;
          known = true;
        }
    }
    TORCH_CHECK(known, "open_clip_from_hugging_face: CLIPModel has no tensor '", name,
                "'; only CLIP models with a ViT are read");
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
