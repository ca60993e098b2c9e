// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "contrapunto/io/read_file.hpp"
#include "contrapunto/towers/detail/timm_siglip.hpp"
#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

namespace detail {

/// Takes values from a JSON object and raises for keys that were not requested. A misspelled key in
/// a file would otherwise silently give another model.
class JsonFields {
 public:
  JsonFields(nlohmann::json object, std::string where)
      : object_(std::move(object)), where_(std::move(where)) {
    TORCH_CHECK(object_.is_object(), where_, ": expected a JSON object");
  }

  /// Sets `value` if the key exists. Raises if it has another type.
  template <class T>
  bool take(const char* key, T& value) {
    const auto found = object_.find(key);
    if (found == object_.end() || found->is_null()) return false;
    try {
      value = found->get<T>();
    } catch (const nlohmann::json::exception& error) {
      TORCH_CHECK(false, where_, ": '", key, "' is ", found->dump(), ": ", error.what());
    }
    object_.erase(found);
    return true;
  }

  /// Sets `value` to the value of the word that the key holds, if the key exists. Raises for
  /// another word and lists the allowed ones.
  template <class T>
  void take_word(const char* key, T& value,
                 std::initializer_list<std::pair<const char*, T>> words) {
    std::string word, known;
    if (!take(key, word)) return;
    for (const auto& [name, meaning] : words) {
      if (word == name) {
        value = meaning;
        return;
      }
      known += (known.empty() ? "" : ", ") + std::string(name);
    }
    TORCH_CHECK(false, where_, ": '", key, "' is \"", word, "\"; it must be one of: ", known);
  }

  void finish() const {
    if (object_.empty()) return;
    TORCH_CHECK(false, where_, ": '", object_.begin().key(),
                "' is not supported; remove it, or build the towers in code");
  }

 private:
  nlohmann::json object_;
  std::string where_;
};

}  // namespace detail

namespace detail {

/// Reads the keys of `vision_cfg` that describe the blocks and tokens of a ViT.
inline void take_vit_parts(JsonFields& vision, VisionTransformerOptions& o,
                           const std::string& where) {
  std::string plan;
  double layer_scale = 0.0;
  bool no_pre_norm = false;
  if (vision.take("attention", plan)) o.attention = parse_attention_plan(plan);
  if (vision.take("ls_init_value", layer_scale)) o.layer_scale = layer_scale;
  if (vision.take("no_ln_pre", no_pre_norm)) o.pre_norm = !no_pre_norm;
  vision.take("final_ln_after_pool", o.norm_after_pool);
  vision.take_word("pool_type", o.pool,
                   {{"tok", ImagePool::kClassToken},
                    {"avg", ImagePool::kAverage},
                    {"attention", ImagePool::kAttention},
                    {"sequence", ImagePool::kSequence}});
  vision.take("class_token", o.class_token);
  vision.take("registers", o.registers);
  vision.take("patch_bias", o.patch_bias);
  vision.take("drop_path", o.drop_path);
  vision.take("qk_norm", o.qk_norm);
  vision.take("layer_norm_eps", o.layer_norm_eps);
  vision.take_word("positions", o.positions,
                   {{"learned", ImagePositions::kLearned},
                    {"sincos", ImagePositions::kSinCos},
                    {"none", ImagePositions::kNone}});
  vision.take("prefix_positions", o.prefix_positions);
  vision.take("pool_heads", o.pool_heads);
  vision.take("projection_bias", o.projection_bias);
  vision.take("timm_names", o.timm_names);
  vision.take_word(
      "initialization", o.initialization,
      {{"open_clip", VisionInitialization::kOpenClip}, {"timm", VisionInitialization::kSigLip}});
  vision.take_word("relative_bias", o.relative_bias,
                   {{"none", RelativeBiasKind::kNone},
                    {"table", RelativeBiasKind::kTable},
                    {"continuous", RelativeBiasKind::kContinuous}});
  vision.take_word("qkv_bias", o.qkv_bias,
                   {{"all", AttentionBias::kAll},
                    {"no_keys", AttentionBias::kNoKeys},
                    {"none", AttentionBias::kNone}});
  vision.take_word("mlp", o.mlp, {{"plain", MlpKind::kPlain}, {"swiglu", MlpKind::kSwiGlu}});
  vision.take("mlp_norm", o.mlp_norm);
  vision.take("attention_norm", o.attention_norm);
  vision.take_word("block_order", o.block_order,
                   {{"sequential", BlockOrder::kSequential},
                    {"parallel", BlockOrder::kParallel},
                    {"normed_stream", BlockOrder::kNormedStream}});
  vision.take_word("stem", o.stem,
                   {{"patches", ImageStem::kPatches}, {"convolutions", ImageStem::kConvolutions}});
  vision.take("stem_layers", o.stem_layers);
  vision.take("stem_channels", o.stem_channels);
  nlohmann::json rotary_json;
  if (!vision.take("rotary", rotary_json)) return;
  JsonFields rotary(rotary_json, where + ", vision_cfg.rotary");
  o.rotary.kind = RotaryKind::kAxial;
  rotary.take_word("kind", o.rotary.kind,
                   {{"axial", RotaryKind::kAxial}, {"mixed", RotaryKind::kMixed}});
  o.rotary.temperature = o.rotary.kind == RotaryKind::kMixed ? 10.0 : 100.0;
  rotary.take("temperature", o.rotary.temperature);
  rotary.take("trained_side", o.rotary.trained_side);
  rotary.take("offset", o.rotary.offset);
  rotary.take("columns_first", o.rotary.columns_first);
  rotary.finish();
}

/// Reads the other keys of `vision_cfg` of a tower that timm names, which must be as in SigLIP.
inline void take_timm_keys(JsonFields& vision, std::int64_t image_size, const std::string& where) {
  auto size = image_size;
  bool pretrained = false;
  std::string pool = "map", projection = "none";
  vision.take("image_size", size);
  vision.take("timm_model_pretrained", pretrained);
  vision.take("timm_pool", pool);
  vision.take("timm_proj", projection);
  TORCH_CHECK(size == image_size && pool == "map" && projection == "none", where, ": image_size (",
              size, "), timm_pool (", pool, ") and timm_proj (", projection, ") must be ",
              image_size, ", map and none, as in SigLIP");
}

}  // namespace detail

/// Reads a model configuration from a file in OpenCLIP's format: `embed_dim`, `vision_cfg`,
/// `text_cfg`, `quick_gelu`, `init_logit_scale`, `init_logit_bias`. `vision_cfg.layers` is a number
/// for a ViT and a list of four numbers for a ResNet. `layer_heads` and `layer_hidden` list the
/// heads and the hidden widths of each layer, in both towers, and `head_width` is also known for
/// texts; OpenCLIP has no such keys. The blocks and tokens of a ViT follow the keys that
/// docs/guides/models.md lists, some of which are OpenCLIP's too. Of the towers that OpenCLIP names
/// as timm does, those of SigLIP are known. Without `text_cfg` the model is
/// of images alone, and then without `embed_dim` its features have the width of the tower.
/// OpenCLIP's open_clip_config.json is also accepted: it has these keys under `model_cfg`, next to
/// a `preprocess_cfg` with `mean`, `std`, `interpolation` and `resize_mode`. The configuration is
/// named after the file. Raises for unknown keys, so that no setting is silently ignored, with the
/// file and the key.
[[nodiscard]] inline ModelConfig read_model_config(const std::filesystem::path& path) {
  const auto where = "model configuration '" + path.string() + "'";
  const auto json = nlohmann::json::parse(read_file(path), nullptr, /*allow_exceptions=*/false);
  TORCH_CHECK(!json.is_discarded(), where, ": not valid JSON");
  ModelConfig config;
  nlohmann::json model_json = json;
  if (json.is_object() && json.contains("model_cfg")) {
    detail::JsonFields file(json, where);
    nlohmann::json preprocess_json = nlohmann::json::object();
    file.take("model_cfg", model_json);
    file.take("preprocess_cfg", preprocess_json);
    file.finish();
    detail::JsonFields preprocess(preprocess_json, where + ", preprocess_cfg");
    preprocess.take("mean", config.image_mean);
    preprocess.take("std", config.image_std);
    preprocess.take_word(
        "interpolation", config.interpolation,
        {{"bicubic", Interpolation::kBicubic}, {"bilinear", Interpolation::kBilinear}});
    preprocess.take_word("resize_mode", config.resize_mode,
                         {{"shortest", ResizeMode::kShortest},
                          {"longest", ResizeMode::kLongest},
                          {"squash", ResizeMode::kSquash}});
    preprocess.finish();
  }
  detail::JsonFields model(model_json, where);
  config.name = path.stem().string();
  bool quick_gelu = false;
  nlohmann::json vision_json;
  nlohmann::json text_json;
  double bias = 0.0;
  bool custom_text = false;
  model.take("custom_text", custom_text);
  const bool has_embed_dim = model.take("embed_dim", config.embed_dim);
  model.take("quick_gelu", quick_gelu);
  model.take("init_logit_scale", config.initial_logit_scale);
  if (model.take("init_logit_bias", bias)) config.initial_logit_bias = bias;
  TORCH_CHECK(model.take("vision_cfg", vision_json), where, ": 'vision_cfg' is missing");
  config.image_only = !model.take("text_cfg", text_json);
  model.finish();
  const auto activation = quick_gelu ? Activation::kQuickGelu : Activation::kGelu;

  detail::JsonFields vision(vision_json, where + ", vision_cfg");
  std::string timm_name;
  const bool timm = vision.take("timm_model_name", timm_name);
  std::int64_t head_width = 64;
  vision.take("head_width", head_width);
  TORCH_CHECK(head_width > 0, where, ": head_width (", head_width, ") must be positive");
  if (timm) {
    const auto tower = detail::timm_siglip_tower(timm_name);
    TORCH_CHECK(tower, where, ": the tower '", timm_name,
                "' of timm is not known; those of SigLIP, ",
                "such as vit_base_patch16_siglip_224, are");
    config.image = *tower;
    config.custom_text = custom_text;
    config.resize_mode = json.contains("preprocess_cfg") ? config.resize_mode : ResizeMode::kSquash;
    detail::take_timm_keys(vision, tower->image_size, where);
  } else if (vision_json.contains("layers") && vision_json["layers"].is_array()) {
    ModifiedResNetOptions options{.image_size = 224, .output_dim = config.embed_dim};
    vision.take("layers", options.layers);
    vision.take("image_size", options.image_size);
    vision.take("width", options.width);
    options.heads = options.width * 32 / head_width;
    config.image = options;
  } else {
    VisionTransformerOptions options{.output_dim = config.embed_dim, .activation = activation};
    vision.take("layers", options.layers);
    vision.take("image_size", options.image_size);
    vision.take("width", options.width);
    vision.take("patch_size", options.patch_size);
    vision.take("mlp_ratio", options.mlp_ratio);
    vision.take("patch_dropout", options.patch_dropout);
    vision.take("layer_hidden", options.layer_hidden);
    if (vision.take("layer_heads", options.layer_heads)) options.head_width = head_width;
    options.heads = options.width / head_width;
    detail::take_vit_parts(vision, options, where);
    options.projection = has_embed_dim || !config.image_only;
    if (!options.projection) options.output_dim = config.embed_dim = options.width;
    config.image = options;
  }
  vision.finish();
  if (config.image_only) return config;

  detail::JsonFields text(text_json, where + ", text_cfg");
  config.text.output_dim = config.embed_dim;
  config.text.activation = activation;
  text.take("context_length", config.text.context_length);
  text.take("vocab_size", config.text.vocab_size);
  text.take("width", config.text.width);
  text.take("heads", config.text.heads);
  text.take("head_width", config.text.head_width);
  text.take("layer_heads", config.text.layer_heads);
  text.take("layer_hidden", config.text.layer_hidden);
  text.take("layers", config.text.layers);
  text.take("mlp_ratio", config.text.mlp_ratio);
  bool no_mask = false;
  if (text.take("no_causal_mask", no_mask)) config.text.causal = !no_mask;
  text.take("proj_bias", config.text.projection_bias);
  text.take_word("pool_type", config.text.pool,
                 {{"argmax", TextPool::kEndToken}, {"last", TextPool::kLast}});
  nlohmann::json norm_json = nlohmann::json::object();
  text.take("norm_kwargs", norm_json);
  detail::JsonFields norm(norm_json, where + ", text_cfg.norm_kwargs");
  norm.take("eps", config.text.layer_norm_eps);
  norm.finish();
  text.finish();
  TORCH_CHECK(timm == custom_text, where, ": 'custom_text' goes with a tower of SigLIP, and only ",
              "with it");
  return config;
}

}  // namespace contrapunto
