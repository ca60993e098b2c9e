// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros_like.h>

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/state.hpp"
#include "contrapunto/nn/positional_embedding.hpp"
#include "contrapunto/towers/dual_encoder.hpp"
#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

namespace detail {

/// OpenCLIP's name of our tensor `name`.
inline std::string open_clip_name(const std::string& name, const ModelConfig& config) {
  if (!config.custom_text && name.starts_with("text.")) return name.substr(5);
  const std::string visual = "visual.";
  if (!config.timm_image || !name.starts_with(visual)) return name;
  static const std::array<std::pair<std::string, std::string>, 11> renamed{
      {{"positional_embedding", "pos_embed"},
       {"conv1.", "patch_embed.proj."},
       {"transformer.resblocks.", "blocks."},
       {"ln_1.", "norm1."},
       {"ln_2.", "norm2."},
       {"ln_post.", "norm."},
       {"attn.in_proj_", "attn.qkv."},
       {"attn.out_proj.", "attn.proj."},
       {"mlp.c_fc.", "mlp.fc1."},
       {"mlp.c_proj.", "mlp.fc2."},
       {"class_embedding", "cls_token"}}};
  std::string timm = name.substr(visual.size());
  for (const auto& [ours, theirs] : renamed)
    if (const auto at = timm.find(ours); at != std::string::npos)
      timm.replace(at, ours.size(), theirs);
  return "visual.trunk." + timm;
}

/// Our parameters and buffers under OpenCLIP's names.
inline std::vector<std::pair<std::string, at::Tensor>> open_clip_tensors(
    DualEncoder& model, const ModelConfig& config) {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const auto& item : model->named_parameters())
    tensors.emplace_back(open_clip_name(item.key(), config), item.value());
  for (const auto& item : model->named_buffers())
    tensors.emplace_back(open_clip_name(item.key(), config), item.value());
  return tensors;
}

/// timm keeps a batch dimension on tensors that are added to tokens.
inline bool has_batch_dimension(const std::string& name) {
  return name.ends_with("trunk.pos_embed");
}

/// Names as they may come from wrapped, older or other-styled checkpoints, made those of `config`.
inline TensorMap tidy_open_clip_names(TensorMap state, const ModelConfig& config) {
  TensorMap tidy;
  const bool flat = state.contains("text_projection") || state.contains("module.text_projection");
  for (auto& [key, tensor] : state) {
    std::string name = key.starts_with("module.") ? key.substr(7) : key;
    // OpenAI's files carry these numbers beside the weights.
    if (name == "input_resolution" || name == "context_length" || name == "vocab_size") continue;
    if (config.custom_text && flat) {
      for (const char* part : {"text_projection", "positional_embedding", "token_embedding",
                               "transformer", "ln_final"})
        if (name.starts_with(part)) {
          name = "text." + name;
          break;
        }
    } else if (!config.custom_text && name.starts_with("text.")) {
      name = name.substr(5);
    }
    tidy.emplace(std::move(name), std::move(tensor));
  }
  return tidy;
}

/// Brings `source` to the shape of `target` where the format allows it: resized positions, a scalar
/// kept as [1], the batch dimension of timm's positions. Otherwise returns it as it is.
inline at::Tensor fit_open_clip_tensor(const std::string& name, at::Tensor source,
                                       const at::Tensor& target, const ModelConfig& config) {
  if (name == "logit_scale" || name == "logit_bias")
    return source.numel() == 1 ? source.reshape({}) : source;
  if (has_batch_dimension(name) && source.dim() == 3) source = source.squeeze(0);
  const bool positions =
      name.ends_with("positional_embedding") || name.ends_with("trunk.pos_embed");
  if (!positions || source.dim() != 2 || source.sizes() == target.sizes() ||
      source.size(1) != target.size(1))
    return source;
  if (!name.starts_with("visual.")) return resize_text_positions(source, target.size(0));
  const auto* vit = std::get_if<VisionTransformerOptions>(&config.image);
  const std::int64_t prefix = vit == nullptr || vit->class_token ? 1 : 0;
  const auto grid = std::visit([](const auto& options) { return options.grid(); }, config.image);
  return resize_grid_positions(source, prefix, grid);
}

}  // namespace detail

/// The weights and statistics of `model` under OpenCLIP's names for `config`: detached, contiguous,
/// on their device, sharing memory where they can. `config` must be what the model was built from.
[[nodiscard]] inline TensorMap open_clip_state(DualEncoder& model, const ModelConfig& config) {
  TensorMap state;
  for (const auto& [name, tensor] : detail::open_clip_tensors(model, config)) {
    const auto value = tensor.detach().contiguous();
    state.emplace(name, detail::has_batch_dimension(name) ? value.unsqueeze(0) : value);
  }
  return state;
}

/// Copies an OpenCLIP state into `model`, converting device and dtype. Accepts "module." prefixes,
/// text names with and without "text.", scalars kept as [1]; resizes image positions (bicubic,
/// antialias) and text positions (linear); a bias that only the model has becomes 0. Everything
/// else must match: raises, before anything was copied, with the names that are missing, unexpected
/// or of another shape.
inline void load_open_clip_state(DualEncoder& model, const ModelConfig& config, TensorMap state) {
  const at::NoGradGuard no_grad;
  state = detail::tidy_open_clip_names(std::move(state), config);
  if (model->logit_bias.defined() && !state.contains("logit_bias"))
    state.emplace("logit_bias", at::zeros_like(model->logit_bias));

  std::vector<std::pair<at::Tensor, at::Tensor>> copies;
  std::string problems;
  for (auto& [name, target] : detail::open_clip_tensors(model, config)) {
    const auto found = state.find(name);
    if (found == state.end()) {
      problems += "\n  missing: " + name;
      continue;
    }
    const auto source = detail::fit_open_clip_tensor(name, found->second, target, config);
    if (source.sizes() == target.sizes())
      copies.emplace_back(target, source);
    else
      problems += c10::str("\n  shape: ", name, " is ", source.sizes(), " in the file and ",
                           target.sizes(), " in the model");
    state.erase(found);
  }
  for (const auto& [name, _] : state) problems += "\n  unexpected: " + name;
  TORCH_CHECK(problems.empty(), "load_open_clip_state: these weights do not belong to '",
              config.name, "':", problems);
  for (auto& [target, source] : copies) target.copy_(source);
}

}  // namespace contrapunto
