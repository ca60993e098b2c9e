// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/detail/load_tensors.hpp"
#include "contrapunto/core/state.hpp"
#include "contrapunto/towers/any_tower.hpp"
#include "contrapunto/towers/open_clip_state.hpp"

namespace contrapunto {

namespace detail {

inline constexpr const char* kTimmPrefix = "trunk.";
inline constexpr const char* kRotaryName = ".attn.rotary.frequencies";

/// Returns the tensors of `tower` with the names that timm gives them, where the mixed rotary
/// frequencies are still those of a layer each. Raises for a tower without timm's names.
inline std::vector<OpenClipTensor> timm_tensors(const AnyTower& tower) {
  std::vector<OpenClipTensor> tensors;
  const auto add = [&](const std::string& own, const at::Tensor& tensor) {
    const auto name = tower.open_clip_name(own);
    TORCH_CHECK(name.starts_with(kTimmPrefix), "timm_state: the tower '", tower->name(),
                "' does not have timm's names; set VisionTransformerOptions::timm_names");
    tensors.push_back({name.substr(std::string(kTimmPrefix).size()), tensor, &tower, own});
  };
  for (const auto& item : tower->named_parameters()) add(item.key(), item.value());
  for (const auto& item : tower->named_buffers()) add(item.key(), item.value());
  return tensors;
}

/// Joins `parts` of each layer, which some models of timm keep apart, as the tensor `whole`.
inline void join_timm_parts(TensorMap& state, const std::vector<std::string>& parts,
                            const std::string& whole) {
  std::vector<std::string> stems;
  for (const auto& [name, _] : state)
    if (name.ends_with(parts.front()))
      stems.push_back(name.substr(0, name.size() - parts.front().size()));
  for (const auto& stem : stems) {
    std::vector<at::Tensor> tensors;
    for (const auto& part : parts)
      if (const auto found = state.find(stem + part); found != state.end())
        tensors.push_back(found->second);
    if (tensors.size() != parts.size()) continue;
    for (const auto& part : parts) state.erase(stem + part);
    state.emplace(stem + whole, at::cat(tensors));
  }
}

/// Brings the state of a timm model to the structure of our towers.
inline TensorMap tidy_timm_state(TensorMap state) {
  // Older versions saved the indices, which follow from the sizes.
  std::erase_if(state,
                [](const auto& item) { return item.first.ends_with("relative_position_index"); });
  if (const auto rates = state.find("rope.freqs"); rates != state.end()) {
    const auto layers = rates->second.unbind(1);  // Of [2, layers, heads, head_width / 2].
    for (std::size_t i = 0; i < layers.size(); ++i)
      state.emplace("blocks." + std::to_string(i) + kRotaryName, layers[i]);
    state.erase("rope.freqs");
  }
  join_timm_parts(state, {"q_proj.weight", "k_proj.weight", "v_proj.weight"}, "qkv.weight");
  join_timm_parts(state, {"q_proj.bias"}, "q_bias");
  join_timm_parts(state, {"v_proj.bias"}, "v_bias");
  join_timm_parts(state, {"mlp.fc1_g.weight", "mlp.fc1_x.weight"}, "mlp.fc1.weight");
  join_timm_parts(state, {"mlp.fc1_g.bias", "mlp.fc1_x.bias"}, "mlp.fc1.bias");
  return state;
}

}  // namespace detail

/// Returns the weights of an image tower as the state dict of the timm model of the same structure,
/// without its classifier: detached, contiguous and on their device, sharing memory if possible.
/// Raises for a tower that was built without `timm_names`.
[[nodiscard]] inline TensorMap timm_state(const AnyTower& tower) {
  TensorMap state;
  std::map<std::int64_t, at::Tensor> rates;  // By layer.
  for (const auto& item : detail::timm_tensors(tower)) {
    const auto value = item.tensor.detach().contiguous();
    if (item.name.ends_with(detail::kRotaryName))
      rates.emplace(std::stoll(item.name.substr(std::string("blocks.").size())), value);
    else
      state.emplace(item.name,
                    detail::with_timm_dimensions(detail::kTimmPrefix + item.name, value));
  }
  if (!rates.empty()) {
    std::vector<at::Tensor> layers;
    for (const auto& [_, value] : rates) layers.push_back(value);
    state.emplace("rope.freqs", at::stack(layers, 1));
  }
  return state;
}

/// Copies the state dict of a timm model into an image tower that was built with `timm_names`, and
/// converts the device and dtype. The classifier (`head.*`) is ignored unless the tower has a
/// `head`. Queries, keys and values in separate matrices, and split gated MLPs, are joined.
/// Positions and tables of relative positions are resized. Raises before anything is copied if
/// names are missing, unexpected or of another shape, and lists them.
inline void load_timm_state(AnyTower& tower, TensorMap state,
                            const std::string& model_name = "this model") {
  const at::NoGradGuard no_grad;
  state = detail::tidy_timm_state(std::move(state));
  TensorMap own;
  for (const auto& item : detail::timm_tensors(tower)) {
    own.emplace(item.name, item.tensor);
    if (const auto found = state.find(item.name); found != state.end())
      found->second = tower.fit_open_clip_tensor(item.name_in_tower, found->second);
  }
  for (const auto* name : {"head.weight", "head.bias"})
    if (!own.contains(name)) state.erase(name);
  detail::load_tensors("load_timm_state: these weights do not belong to '" + model_name + "'", own,
                       state);
}

}  // namespace contrapunto
