// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <variant>

#include "contrapunto/io/atomic_file.hpp"
#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

/// Writes `config` in the format of OpenCLIP's open_clip_config.json, so that read_model_config()
/// returns it again, except for its name, which is that of the file. OpenCLIP reads the file too
/// unless the layers of a tower differ. Raises for a configuration that the format cannot express,
/// such as SigLIP's, and if the file cannot be written.
inline void write_model_config(const std::filesystem::path& path, const ModelConfig& config) {
  using nlohmann::json;
  auto image = json::object(), text = json::object();
  const auto add_layers = [](json& object, const auto& o) {
    if (!o.layer_heads.empty()) object["layer_heads"] = o.layer_heads;
    if (!o.layer_hidden.empty()) object["layer_hidden"] = o.layer_hidden;
  };
  bool known = !config.custom_text && config.text.causal && !config.text.projection_bias &&
               config.text.pool == TextPool::kEndToken && !config.text.parts.attention &&
               !config.text.parts.mlp;
  if (const auto* vit = std::get_if<VisionTransformerOptions>(&config.image)) {
    known = known && vit->pool == ImagePool::kClassToken && vit->class_token && vit->pre_norm &&
            !vit->patch_bias && vit->projection && !vit->timm_names && !vit->parts.attention &&
            !vit->parts.mlp && vit->activation == config.text.activation;
    image = {{"image_size", vit->image_size}, {"patch_size", vit->patch_size},
             {"width", vit->width},           {"layers", vit->layers},
             {"mlp_ratio", vit->mlp_ratio},   {"head_width", vit->numbers_per_head()}};
    if (vit->patch_dropout > 0.0) image["patch_dropout"] = vit->patch_dropout;
    add_layers(image, *vit);
  } else {
    const auto& resnet = std::get<ModifiedResNetOptions>(config.image);
    image = {{"image_size", resnet.image_size},
             {"layers", resnet.layers},
             {"width", resnet.width},
             {"head_width", resnet.width * 32 / resnet.heads}};
  }
  TORCH_CHECK(known, "write_model_config: OpenCLIP's format has no keys for all parts of '",
              config.name, "', so '", path.string(), "' was not written; build it in code");
  text = {{"context_length", config.text.context_length},
          {"vocab_size", config.text.vocab_size},
          {"width", config.text.width},
          {"heads", config.text.heads},
          {"layers", config.text.layers},
          {"mlp_ratio", config.text.mlp_ratio}};
  if (config.text.head_width > 0) text["head_width"] = config.text.head_width;
  add_layers(text, config.text);

  json model{{"embed_dim", config.embed_dim},
             {"quick_gelu", config.text.activation == Activation::kQuickGelu},
             {"init_logit_scale", config.initial_logit_scale},
             {"vision_cfg", image},
             {"text_cfg", text}};
  if (config.initial_logit_bias) model["init_logit_bias"] = *config.initial_logit_bias;
  const json file{
      {"model_cfg", model},
      {"preprocess_cfg",
       {{"mean", config.image_mean},
        {"std", config.image_std},
        {"interpolation", config.interpolation == Interpolation::kBicubic ? "bicubic" : "bilinear"},
        {"resize_mode", config.resize_mode == ResizeMode::kShortest  ? "shortest"
                        : config.resize_mode == ResizeMode::kLongest ? "longest"
                                                                     : "squash"}}}};
  write_file_atomically(path, file.dump(2) + "\n");
}

}  // namespace contrapunto
