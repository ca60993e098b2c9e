// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>
#include <torch/nn/module.h>

#include <array>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>

#include "contrapunto/core/detail/load_tensors.hpp"
#include "contrapunto/core/detail/named_tensors.hpp"
#include "contrapunto/core/state.hpp"
#include "contrapunto/towers/any_tower.hpp"
#include "contrapunto/towers/hugging_face_state.hpp"
#include "contrapunto/towers/npz_state.hpp"
#include "contrapunto/towers/open_clip_state.hpp"
#include "contrapunto/towers/timm_state.hpp"

namespace contrapunto {

namespace detail {

/// Ways to name the tensor `name` of `tower` in a file of weights.
[[nodiscard]] inline std::array<std::string, 5> names_in_files(const AnyTower& tower,
                                                               const std::string& name) {
  const auto open_clip = tower.open_clip_name(name);
  const std::string trunk = kTimmPrefix;
  const auto timm = open_clip.starts_with(trunk) ? open_clip.substr(trunk.size()) : open_clip;
  return {"visual." + open_clip, "tower." + name, open_clip, timm, name};
}

/// Returns the tensors of a file of vision_transformer or big_vision with the names of a classifier
/// of the library.
[[nodiscard]] inline TensorMap names_of_npz(const AnyTower& tower, const TensorMap& state,
                                            const std::string& model_name) {
  const auto& options = npz_options(tower, model_name);
  const bool has_head = named_tensors(*tower).contains("head.weight");
  TensorMap named;
  for (const auto& [name, tensor] : own_npz_state(options, state, model_name)) {
    const bool in_tower = has_head || !is_npz_classifier(name);
    const std::string head = name.starts_with("head.") ? "" : "head.";
    named.emplace((in_tower ? "tower." : head) + name, tensor);
  }
  return named;
}

}  // namespace detail

/// Copies weights into the image tower of a classifier, and into its `head`, a linear layer with
/// `weight` and `bias`, unless it is null. `state` holds the weights of a CLIP model with
/// OpenCLIP's names or those of Hugging Face's transformers, whose text tower is left out; or those
/// of an image tower alone, with OpenCLIP's, timm's or the library's names; or those of a
/// classifier of the library ("tower." and "head."); or those of vision_transformer or big_vision,
/// with or without their classifier (see load_npz_state). The names of one of these kinds must all
/// be there. A tower resizes the tensors that it can, such as positions. Raises before anything is
/// copied if a tensor is missing, unexpected, of another shape or not finite; `model_name` is in
/// the message.
inline void load_image_weights(const AnyTower& tower, torch::nn::Module* head, TensorMap state,
                               const std::string& model_name) {
  const at::NoGradGuard no_grad;
  TensorMap file;
  if (is_hugging_face_state(state)) state = open_clip_from_hugging_face(state);
  if (detail::npz_prefix(state)) state = detail::names_of_npz(tower, state, model_name);
  for (auto& [name, tensor] : state) file.emplace(detail::unwrapped_name(name), std::move(tensor));
  const auto own = detail::named_tensors(*tower);
  // Parts that some models of timm keep apart; other weights do not have such names.
  if (!own.empty() && tower.open_clip_name(own.begin()->first).starts_with(detail::kTimmPrefix))
    file = detail::tidy_timm_state(std::move(file));
  TORCH_CHECK(!own.empty() && !file.empty(), "load_image_weights: there are ", file.size(),
              " tensors for the ", own.size(), " of '", model_name, "'");
  constexpr std::size_t kKinds = 5;
  std::array<std::size_t, kKinds> found{};
  for (const auto& [name, _] : own) {
    const auto names = detail::names_in_files(tower, name);
    for (std::size_t kind = 0; kind < kKinds; ++kind) found[kind] += file.count(names[kind]);
  }
  std::size_t kind = 0;
  for (std::size_t other = 1; other < kKinds; ++other)
    if (found[other] > found[kind]) kind = other;
  TORCH_CHECK(found[kind] > 0, "load_image_weights: none of the ", file.size(),
              " tensors, such as '", file.begin()->first, "', has a name of the image tower of '",
              model_name, "', such as '", detail::names_in_files(tower, own.begin()->first)[0],
              "'; these are weights of another kind of model");

  // What belongs to the tower: all names with its prefix, or all but the head without a prefix.
  const std::string prefix = kind == 0 ? "visual." : kind == 1 ? "tower." : "";
  const auto in_head = [](const std::string& name) { return name.starts_with("head."); };
  TensorMap given, wanted;
  for (const auto& [name, tensor] : file)
    if (name.starts_with(prefix) && !(prefix.empty() && in_head(name))) given.emplace(name, tensor);
  for (const auto& [name, tensor] : own) {
    const auto in_file = detail::names_in_files(tower, name)[kind];
    wanted.emplace(in_file, tensor);
    const auto item = given.find(in_file);
    if (item == given.end()) continue;
    item->second = tower.fit_open_clip_tensor(name, item->second);
  }
  if (head != nullptr) {
    for (const auto& [name, tensor] : detail::named_tensors(*head))
      wanted.emplace("head." + name, tensor);
    for (const auto& [name, tensor] : file)
      if (in_head(name)) given.emplace(name, tensor);
  }
  for (const auto& [name, tensor] : given)
    TORCH_CHECK(!tensor.is_floating_point() || tensor.isfinite().all().item<bool>(),
                "load_image_weights: the tensor '", name, "' of the weights for '", model_name,
                "' holds NaN or infinity; the file is damaged, or was written by a run that had "
                "diverged");
  detail::load_tensors("load_image_weights: these weights do not belong to '" + model_name + "'",
                       wanted, given);
}

}  // namespace contrapunto
