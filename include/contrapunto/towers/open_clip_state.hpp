// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros_like.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/core/detail/load_tensors.hpp"
#include "contrapunto/core/state.hpp"
#include "contrapunto/towers/dual_encoder.hpp"
#include "contrapunto/towers/hugging_face_state.hpp"
#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

namespace detail {

/// A tensor of the model with its OpenCLIP name.
struct OpenClipTensor {
  std::string name;
  at::Tensor tensor;
  const AnyTower* tower = nullptr;  ///< The tower that owns it, or null.
  std::string name_in_tower = {};
};

/// Returns the parameters and buffers of the model with their OpenCLIP names.
inline std::vector<OpenClipTensor> open_clip_tensors(const DualEncoder& model, bool custom_text) {
  std::vector<OpenClipTensor> tensors;
  const auto add = [&](const std::string& name, const at::Tensor& tensor) {
    const std::pair<std::string, const AnyTower*> towers[] = {{"visual.", &model->x_tower()},
                                                              {"text.", &model->y_tower()}};
    for (const auto& [prefix, tower] : towers)
      if (name.starts_with(prefix)) {
        const auto own = name.substr(prefix.size());
        const bool flat = prefix == "text." && !custom_text;
        tensors.push_back({(flat ? "" : prefix) + tower->open_clip_name(own), tensor, tower, own});
        return;
      }
    tensors.push_back({name, tensor});
  };
  for (const auto& item : model->named_parameters()) add(item.key(), item.value());
  for (const auto& item : model->named_buffers()) add(item.key(), item.value());
  return tensors;
}

/// Returns `tensor` with the dimensions that timm has in addition: that of the batch on tokens and
/// on what is added to them, and that of tokens on a class token.
inline at::Tensor with_timm_dimensions(const std::string& name, const at::Tensor& tensor) {
  if (name.ends_with("trunk.cls_token")) return tensor.view({1, 1, -1});
  const bool batched = name.ends_with("trunk.pos_embed") || name.ends_with("trunk.reg_token");
  return batched ? tensor.unsqueeze(0) : tensor;
}

/// Removes the names of the wrappers around a model: "module." of data parallelism, and the three
/// parts into which TinyCLIP divides its models, under either of two names, each of which may be
/// wrapped again.
inline std::string unwrapped_name(std::string name) {
  for (const std::string_view wrapper :
       {"module.", "_image_encoder.", "_text_encoder.", "_logit_scale.",
        "image_encoder_without_ddp.", "text_encoder_without_ddp.", "module."})
    if (name.starts_with(wrapper)) name.erase(0, wrapper.size());
  return name;
}

/// Converts names from wrapped, older or differently structured checkpoints to one layout.
inline TensorMap tidy_open_clip_names(TensorMap wrapped, bool custom_text) {
  if (is_hugging_face_state(wrapped)) wrapped = open_clip_from_hugging_face(wrapped);
  TensorMap state, tidy;
  for (auto& [key, tensor] : wrapped) {
    const auto [item, is_new] = state.emplace(unwrapped_name(key), std::move(tensor));
    TORCH_CHECK(is_new, "open_clip_state: these weights have two tensors that are both '",
                item->first, "'; one of them is '", key, "'");
  }
  const bool flat = state.contains("text_projection");
  for (auto& [key, tensor] : state) {
    std::string name = key;
    // OpenAI's files contain these numbers in addition to the weights.
    if (name == "input_resolution" || name == "context_length" || name == "vocab_size") continue;
    if (custom_text && flat) {
      for (const char* part : {"text_projection", "positional_embedding", "token_embedding",
                               "transformer", "ln_final"})
        if (name.starts_with(part)) {
          name = "text." + name;
          break;
        }
    } else if (!custom_text && name.starts_with("text.")) {
      name = name.substr(5);
    }
    tidy.emplace(std::move(name), std::move(tensor));
  }
  return tidy;
}

}  // namespace detail

/// Returns the weights and statistics of `model` under OpenCLIP's names: detached, contiguous and
/// on their device, sharing memory if possible. With `custom_text` the names of the text tower
/// begin with "text." (OpenCLIP's CustomTextCLIP). Custom towers rename their tensors with
/// `open_clip_name`; see AnyTower.
[[nodiscard]] inline TensorMap open_clip_state(const DualEncoder& model, bool custom_text) {
  TensorMap state;
  for (const auto& item : detail::open_clip_tensors(model, custom_text)) {
    const auto value = item.tensor.detach().contiguous();
    state.emplace(item.name, detail::with_timm_dimensions(item.name, value));
  }
  return state;
}

/// The same in the layout that OpenCLIP uses for `config`, from which the model was built.
[[nodiscard]] inline TensorMap open_clip_state(const DualEncoder& model,
                                               const ModelConfig& config) {
  return open_clip_state(model, config.custom_text);
}

/// Copies an OpenCLIP state into `model` and converts the device and dtype. Accepts the names of
/// CLIPModel in Hugging Face's transformers, "module." prefixes, the prefixes of TinyCLIP's
/// checkpoints, text names with and without "text.", and scalars stored as [1]. Towers resize the
/// tensors that they can: those of the library resize image positions (bicubic, antialiased) and
/// text positions (linear). A bias that only the model has becomes 0. Everything else must match.
/// Raises before anything is copied if names are missing, unexpected or of another shape, and lists
/// them. Raises likewise if a tensor holds NaN or infinity.
inline void load_open_clip_state(DualEncoder& model, bool custom_text, TensorMap state,
                                 const std::string& model_name = "this model") {
  const at::NoGradGuard no_grad;
  state = detail::tidy_open_clip_names(std::move(state), custom_text);
  if (model->logit_bias.defined() && !state.contains("logit_bias"))
    state.emplace("logit_bias", at::zeros_like(model->logit_bias));
  TensorMap own;
  for (auto& item : detail::open_clip_tensors(model, custom_text)) {
    own.emplace(item.name, item.tensor);
    const auto found = state.find(item.name);
    if (found == state.end()) continue;
    auto& source = found->second;
    TORCH_CHECK(!source.is_floating_point() || source.isfinite().all().item<bool>(),
                "load_open_clip_state: the tensor '", item.name, "' of the weights for '",
                model_name,
                "' holds NaN or infinity; the file is damaged, or was written by a run "
                "that had diverged");
    if (item.tower)
      source = item.tower->fit_open_clip_tensor(item.name_in_tower, source);
    else if (source.numel() == 1)
      source = source.reshape({});
  }
  detail::load_tensors("load_open_clip_state: these weights do not belong to '" + model_name + "'",
                       own, state);
}

/// The same for a model that was built from `config`.
inline void load_open_clip_state(DualEncoder& model, const ModelConfig& config, TensorMap state) {
  load_open_clip_state(model, config.custom_text, std::move(state), config.name);
}

}  // namespace contrapunto
