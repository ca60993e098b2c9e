// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <variant>

#include "contrapunto/io/atomic_file.hpp"
#include "contrapunto/towers/detail/timm_siglip.hpp"
#include "contrapunto/towers/hugging_face_config.hpp"
#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

namespace detail {

/// How OpenCLIP's files describe the preparation of images.
inline nlohmann::json preprocess_json(const ModelConfig& config) {
  return {
      {"mean", config.image_mean},
      {"std", config.image_std},
      {"interpolation", config.interpolation == Interpolation::kBicubic ? "bicubic" : "bilinear"},
      {"resize_mode", config.resize_mode == ResizeMode::kShortest  ? "shortest"
                      : config.resize_mode == ResizeMode::kLongest ? "longest"
                                                                   : "squash"}};
}

/// Returns the keys of `vision_cfg` that describe the blocks and tokens of a ViT, as far as they
/// differ from the defaults; read_model_config() reads them.
inline nlohmann::json vit_parts_json(const VisionTransformerOptions& o) {
  const VisionTransformerOptions usual;
  auto json = nlohmann::json::object();
  const auto add = [&](const char* key, const auto& value, const auto& default_value) {
    if (value != default_value) json[key] = value;
  };
  const auto word = [&](const char* key, auto value, auto default_value,
                        std::initializer_list<const char*> words) {
    if (value != default_value) json[key] = *(words.begin() + static_cast<int>(value));
  };
  if (!o.attention.empty()) json["attention"] = attention_plan_text(o.attention);
  if (o.layer_scale) json["ls_init_value"] = *o.layer_scale;
  add("no_ln_pre", !o.pre_norm, !usual.pre_norm);
  add("final_ln_after_pool", o.norm_after_pool, usual.norm_after_pool);
  word("pool_type", o.pool, usual.pool, {"tok", "avg", "attention", "sequence"});
  add("class_token", o.class_token, usual.class_token);
  add("registers", o.registers, usual.registers);
  add("patch_bias", o.patch_bias, usual.patch_bias);
  add("drop_path", o.drop_path, usual.drop_path);
  add("qk_norm", o.qk_norm, usual.qk_norm);
  add("layer_norm_eps", o.layer_norm_eps, usual.layer_norm_eps);
  word("positions", o.positions, usual.positions, {"learned", "sincos", "none"});
  add("prefix_positions", o.prefix_positions, usual.prefix_positions);
  add("pool_heads", o.pool_heads, usual.pool_heads);
  add("projection_bias", o.projection_bias, usual.projection_bias);
  add("timm_names", o.timm_names, usual.timm_names);
  word("initialization", o.initialization, usual.initialization, {"open_clip", "timm"});
  word("relative_bias", o.relative_bias, usual.relative_bias, {"none", "table", "continuous"});
  word("qkv_bias", o.qkv_bias, usual.qkv_bias, {"all", "no_keys", "none"});
  word("mlp", o.mlp, usual.mlp, {"plain", "swiglu"});
  add("mlp_norm", o.mlp_norm, usual.mlp_norm);
  add("attention_norm", o.attention_norm, usual.attention_norm);
  word("block_order", o.block_order, usual.block_order,
       {"sequential", "parallel", "normed_stream"});
  word("stem", o.stem, usual.stem, {"patches", "convolutions"});
  add("stem_layers", o.stem_layers, usual.stem_layers);
  add("stem_channels", o.stem_channels, usual.stem_channels);
  if (o.rotary.kind != RotaryKind::kNone)
    json["rotary"] = {{"kind", o.rotary.kind == RotaryKind::kMixed ? "mixed" : "axial"},
                      {"temperature", o.rotary.temperature},
                      {"trained_side", o.rotary.trained_side},
                      {"offset", o.rotary.offset},
                      {"columns_first", o.rotary.columns_first}};
  return json;
}

}  // namespace detail

/// Writes `config` in the format of OpenCLIP's open_clip_config.json, so that read_model_config()
/// returns it again, except for its name, which is that of the file. OpenCLIP reads the file too
/// unless a tower has parts that OpenCLIP does not know. Towers of SigLIP have timm's names there.
/// Raises for a configuration that the format cannot express, and if the file cannot be written.
inline void write_model_config(const std::filesystem::path& path, const ModelConfig& config) {
  using nlohmann::json;
  auto image = json::object(), text = json::object();
  const auto add_layers = [](json& object, const auto& o) {
    if (!o.layer_heads.empty()) object["layer_heads"] = o.layer_heads;
    if (!o.layer_hidden.empty()) object["layer_hidden"] = o.layer_hidden;
  };
  const bool siglip = detail::is_siglip(config);
  bool known = config.image_only || (config.custom_text == siglip && !config.text.parts.attention &&
                                     !config.text.parts.mlp);
  if (const auto* vit = std::get_if<VisionTransformerOptions>(&config.image)) {
    known = known && (siglip || vit->projection != config.image_only) && !vit->parts.attention &&
            !vit->parts.mlp &&
            vit->activation == (config.image_only ? Activation::kGelu : config.text.activation);
    image = {{"image_size", vit->image_size}, {"patch_size", vit->patch_size},
             {"width", vit->width},           {"layers", vit->layers},
             {"mlp_ratio", vit->mlp_ratio},   {"head_width", vit->numbers_per_head()}};
    if (vit->patch_dropout > 0.0) image["patch_dropout"] = vit->patch_dropout;
    add_layers(image, *vit);
    image.update(detail::vit_parts_json(*vit));
    if (siglip && !config.image_only) {
      const auto name = detail::not_in_hugging_face(config).empty() ? detail::timm_siglip_name(*vit)
                                                                    : std::nullopt;
      known = known && name;
      image = {{"image_size", vit->image_size},
               {"timm_model_name", name.value_or("")},
               {"timm_pool", "map"},
               {"timm_proj", "none"}};
    }
  } else {
    const auto& resnet = std::get<ModifiedResNetOptions>(config.image);
    image = {{"image_size", resnet.image_size},
             {"layers", resnet.layers},
             {"width", resnet.width},
             {"head_width", resnet.width * 32 / resnet.heads}};
  }
  TORCH_CHECK(known, "write_model_config: OpenCLIP's format has no keys for all parts of '",
              config.name, "', so '", path.string(), "' was not written; build it in code");
  json model{{"vision_cfg", image}};
  if (!config.image_only) {
    text = {{"context_length", config.text.context_length},
            {"vocab_size", config.text.vocab_size},
            {"width", config.text.width},
            {"heads", config.text.heads},
            {"layers", config.text.layers},
            {"mlp_ratio", config.text.mlp_ratio}};
    if (config.text.head_width > 0) text["head_width"] = config.text.head_width;
    add_layers(text, config.text);
    const TextTransformerOptions usual;
    if (!config.text.causal) text["no_causal_mask"] = true;
    if (config.text.projection_bias) text["proj_bias"] = true;
    if (config.text.pool == TextPool::kLast) text["pool_type"] = "last";
    if (config.text.layer_norm_eps != usual.layer_norm_eps)
      text["norm_kwargs"] = {{"eps", config.text.layer_norm_eps}};
    if (config.custom_text) model["custom_text"] = true;
    model.update({{"embed_dim", config.embed_dim},
                  {"quick_gelu", config.text.activation == Activation::kQuickGelu},
                  {"init_logit_scale", config.initial_logit_scale},
                  {"text_cfg", text}});
    if (config.initial_logit_bias) model["init_logit_bias"] = *config.initial_logit_bias;
  }
  const json file{{"model_cfg", model}, {"preprocess_cfg", detail::preprocess_json(config)}};
  write_file_atomically(path, file.dump(2) + "\n");
}

}  // namespace contrapunto
