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

/// A tensor of OpenCLIP and what it is in Hugging Face's transformers. "#" stands for the number of
/// the layer.
struct HuggingFaceTensor {
  std::string ours;
  std::string theirs;
  bool transposed = false;  ///< OpenCLIP has [in, out], and a linear layer has [out, in].
  int part = -1;  ///< Of the joint rows of queries, keys and values, which are three tensors there.
  int extra = 0;  ///< 1: it has a first dimension of size 1 there, which OpenCLIP lacks; -1: it
                  ///< lacks that of OpenCLIP.
};

/// Adds the blocks of a transformer, whose names differ as those of OpenCLIP, or of timm.
inline void add_hugging_face_blocks(std::vector<HuggingFaceTensor>& all, const std::string& ours,
                                    const std::string& theirs, bool timm = false) {
  const auto name = [&](const char* open_clip, const char* of_timm) {
    return ours + (timm ? of_timm : open_clip);
  };
  for (const std::string end : {"weight", "bias"}) {
    all.push_back({name("ln_1.", "norm1.") + end, theirs + "layer_norm1." + end});
    all.push_back({name("ln_2.", "norm2.") + end, theirs + "layer_norm2." + end});
    const char* parts[] = {"q_proj.", "k_proj.", "v_proj."};
    for (int part = 0; part < 3; ++part)
      all.push_back({name("attn.in_proj_", "attn.qkv.") + end,
                     theirs + "self_attn." + parts[part] + end, /*transposed=*/false, part});
    all.push_back(
        {name("attn.out_proj.", "attn.proj.") + end, theirs + "self_attn.out_proj." + end});
    all.push_back({name("mlp.c_fc.", "mlp.fc1.") + end, theirs + "mlp.fc1." + end});
    all.push_back({name("mlp.c_proj.", "mlp.fc2.") + end, theirs + "mlp.fc2." + end});
  }
}

/// The tensors of CLIPModel.
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
      // The first is spelled like this there.
      all.push_back({"visual.ln_pre." + end, "vision_model.pre_layrnorm." + end});
      all.push_back({"visual.ln_post." + end, "vision_model.post_layernorm." + end});
      all.push_back({"ln_final." + end, "text_model.final_layer_norm." + end});
    }
    add_hugging_face_blocks(all, "visual.transformer.resblocks.#.",
                            "vision_model.encoder.layers.#.");
    add_hugging_face_blocks(all, "transformer.resblocks.#.", "text_model.encoder.layers.#.");
    return all;
  }();
  return tensors;
}

/// The tensors of SiglipModel. OpenCLIP has timm's names for the image tower.
inline const std::vector<HuggingFaceTensor>& siglip_tensors() {
  static const auto tensors = [] {
    const auto reshaped = [](const char* ours, const char* theirs, int extra) {
      return HuggingFaceTensor{ours, theirs, /*transposed=*/false, /*part=*/-1, extra};
    };
    std::vector<HuggingFaceTensor> all{
        reshaped("logit_scale", "logit_scale", 1),
        reshaped("logit_bias", "logit_bias", 1),
        reshaped("visual.trunk.pos_embed", "vision_model.embeddings.position_embedding.weight", -1),
        {"visual.trunk.attn_pool.latent", "vision_model.head.probe"},
        {"text.token_embedding.weight", "text_model.embeddings.token_embedding.weight"},
        {"text.positional_embedding", "text_model.embeddings.position_embedding.weight"}};
    for (const std::string end : {"weight", "bias"}) {
      const auto add = [&](const std::string& ours, const std::string& theirs) {
        all.push_back({ours + end, theirs + end});
      };
      add("visual.trunk.patch_embed.proj.", "vision_model.embeddings.patch_embedding.");
      add("visual.trunk.norm.", "vision_model.post_layernorm.");
      add("visual.trunk.attn_pool.proj.", "vision_model.head.attention.out_proj.");
      add("visual.trunk.attn_pool.norm.", "vision_model.head.layernorm.");
      add("visual.trunk.attn_pool.mlp.fc1.", "vision_model.head.mlp.fc1.");
      add("visual.trunk.attn_pool.mlp.fc2.", "vision_model.head.mlp.fc2.");
      add("text.ln_final.", "text_model.final_layer_norm.");
      add("text.text_projection.", "text_model.head.");
    }
    add_hugging_face_blocks(all, "visual.trunk.blocks.#.", "vision_model.encoder.layers.#.",
                            /*timm=*/true);
    add_hugging_face_blocks(all, "text.transformer.resblocks.#.", "text_model.encoder.layers.#.");
    return all;
  }();
  return tensors;
}

/// The pool of SigLIP has a projection of the query and a joint one of keys and values in OpenCLIP,
/// and a joint one of all three in transformers.
inline constexpr const char* kSiglipQuery = "visual.trunk.attn_pool.q.";
inline constexpr const char* kSiglipKeyValue = "visual.trunk.attn_pool.kv.";
inline constexpr const char* kSiglipPool = "vision_model.head.attention.in_proj_";

/// Adds a first dimension of size 1 (`extra` 1), or removes it (-1).
inline at::Tensor with_extra(const at::Tensor& tensor, int extra) {
  if (extra > 0) return tensor.unsqueeze(0);
  return extra < 0 && tensor.dim() > 0 ? tensor.squeeze(0) : tensor;
}

/// Divides a name into one with "#" in place of the number of its layer, and this number, which is
/// empty outside of layers.
inline std::pair<std::string, std::string> without_layer(const std::string& name) {
  for (const std::string_view before : {"resblocks.", "trunk.blocks.", "encoder.layers."}) {
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

/// Whether `state` has the names of CLIPModel or SiglipModel in Hugging Face's transformers.
[[nodiscard]] inline bool is_hugging_face_state(const TensorMap& state) {
  return state.contains("text_model.embeddings.token_embedding.weight") &&
         state.contains("vision_model.embeddings.patch_embedding.weight");
}

/// Converts `state`, an open_clip_state() of a CLIP model with a ViT or of a SigLIP model, to the
/// names of CLIPModel or SiglipModel in Hugging Face's transformers. Tensors share memory with
/// `state` if possible. Raises for a tensor that they do not have, such as those of a
/// ModifiedResNet.
[[nodiscard]] inline TensorMap hugging_face_state(const TensorMap& state) {
  const bool siglip = state.contains("visual.trunk.attn_pool.latent");
  const auto& rows = siglip ? detail::siglip_tensors() : detail::hugging_face_tensors();
  TensorMap converted;
  for (const auto& [name, tensor] : state) {
    if (siglip &&
        (name.starts_with(detail::kSiglipQuery) || name.starts_with(detail::kSiglipKeyValue))) {
      const auto end = name.substr(name.rfind('.') + 1);
      const auto query = state.find(detail::kSiglipQuery + end),
                 rest = state.find(detail::kSiglipKeyValue + end);
      TORCH_CHECK(query != state.end() && rest != state.end(),
                  "hugging_face_state: the attention pool lacks '", detail::kSiglipQuery, end,
                  "' or '", detail::kSiglipKeyValue, end, "'; the state is incomplete");
      if (name.starts_with(detail::kSiglipQuery))
        converted.emplace(detail::kSiglipPool + end, at::cat({tensor, rest->second}, 0));
      continue;
    }
    const auto [pattern, layer] = detail::without_layer(name);
    bool known = false;
    for (const auto& row : rows) {
      if (row.ours != pattern) continue;
      known = true;
      converted.emplace(detail::with_layer(row.theirs, layer),
                        row.transposed  ? tensor.t().contiguous()
                        : row.part >= 0 ? tensor.chunk(3, 0).at(static_cast<std::size_t>(row.part))
                                        : detail::with_extra(tensor, row.extra));
    }
    TORCH_CHECK(
        known, "hugging_face_state: the tensor '", name,
        "' has no place in CLIPModel of transformers, which is a ViT with a class token and "
        "a causal text transformer, nor in SiglipModel; export this model in OpenCLIP's format");
  }
  return converted;
}

/// The inverse of hugging_face_state(): a state of CLIPModel or SiglipModel with OpenCLIP's names.
/// Positions that older versions saved (`position_ids`) are left out. Raises for a tensor that
/// neither of them has, and if one of queries, keys and values is missing.
[[nodiscard]] inline TensorMap open_clip_from_hugging_face(const TensorMap& state) {
  const bool siglip = state.contains("vision_model.head.probe");
  const auto& rows = siglip ? detail::siglip_tensors() : detail::hugging_face_tensors();
  TensorMap converted;
  std::map<std::string, std::array<at::Tensor, 3>> joint;
  for (const auto& [name, tensor] : state) {
    if (name.ends_with("position_ids")) continue;
    if (siglip && name.starts_with(detail::kSiglipPool)) {
      const auto end = name.substr(std::string(detail::kSiglipPool).size());
      const auto width = tensor.size(0) / 3;
      converted.emplace(detail::kSiglipQuery + end, tensor.narrow(0, 0, width));
      converted.emplace(detail::kSiglipKeyValue + end, tensor.narrow(0, width, 2 * width));
      continue;
    }
    const auto [pattern, layer] = detail::without_layer(name);
    const auto row = std::find_if(rows.begin(), rows.end(), [&theirs = pattern](const auto& r) {
      return r.theirs == theirs;
    });
    TORCH_CHECK(
        row != rows.end(), "open_clip_from_hugging_face: ", siglip ? "SiglipModel" : "CLIPModel",
        " has no tensor '", name, "'; only CLIP models with a ViT and SigLIP models are read");
    const auto ours = detail::with_layer(row->ours, layer);
    if (row->part >= 0)
      joint[ours].at(static_cast<std::size_t>(row->part)) = tensor;
    else
      converted.emplace(ours, row->transposed ? tensor.t().contiguous()
                                              : detail::with_extra(tensor, -row->extra));
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
