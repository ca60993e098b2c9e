// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <variant>

#include "contrapunto/nn/activation.hpp"
#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

namespace detail {

/// Whether `config` is of the kind of SigLIP, and not of CLIP: the image tower has no class token
/// and pools by attention.
inline bool is_siglip(const ModelConfig& config) {
  const auto* vit = std::get_if<VisionTransformerOptions>(&config.image);
  return vit != nullptr && !vit->class_token && vit->pool == ImagePool::kAttention;
}

/// Returns the first part of `config` that CLIPModel or, for a model of its kind, SiglipModel of
/// transformers does not have, or nothing.
inline std::string not_in_hugging_face(const ModelConfig& config) {
  const auto* vit = std::get_if<VisionTransformerOptions>(&config.image);
  if (config.image_only) return "it has no text tower";
  if (vit == nullptr) return "its image tower is a ModifiedResNet";
  const auto& text = config.text;
  const bool siglip = is_siglip(config);
  const auto even = [](const auto& o) {
    return o.layer_heads.empty() && o.layer_hidden.empty() &&
           (o.head_width == 0 || o.head_width * o.heads == o.width) && !o.parts.attention &&
           !o.parts.mlp;
  };
  if (!even(*vit) || !even(text)) return "its layers differ, or have parts of their own";
  if (config.custom_text != siglip || text.causal == siglip || text.projection_bias != siglip ||
      text.pool != (siglip ? TextPool::kLast : TextPool::kEndToken))
    return siglip ? "its text tower is not SigLIP's" : "its text tower is not CLIP's";
  if (siglip && (!config.initial_logit_bias || text.width != config.embed_dim))
    return "it has no bias of the similarities, or a text tower of another width";
  if (!siglip && config.initial_logit_bias) return "it has a bias of the similarities";
  const VisionTransformerOptions usual;
  const bool plain =
      (siglip || vit->pool == usual.pool) && vit->class_token == !siglip &&
      vit->pre_norm == !siglip && vit->patch_bias == siglip && vit->projection == !siglip &&
      vit->timm_names == siglip && (vit->pool_heads == 0 || vit->pool_heads == vit->heads) &&
      !vit->projection_bias && vit->stem == usual.stem && vit->positions == usual.positions &&
      vit->prefix_positions && vit->registers == 0 && vit->rotary.kind == RotaryKind::kNone &&
      vit->relative_bias == RelativeBiasKind::kNone && vit->qkv_bias == AttentionBias::kAll &&
      !vit->qk_norm && !vit->attention_norm && vit->mlp == MlpKind::kPlain && !vit->mlp_norm &&
      vit->block_order == BlockOrder::kSequential && !vit->layer_scale && !vit->norm_after_pool;
  if (!plain)
    return std::string("its image tower has parts that ") + (siglip ? "SigLIP" : "CLIP") +
           "'s does not have";
  for (const auto& kind : vit->attention)
    if (kind.pattern != AttentionPattern::kGlobal) return "its attention is not global everywhere";
  return {};
}

inline const char* hugging_face_activation(Activation activation) {
  return activation == Activation::kQuickGelu ? "quick_gelu" : "gelu";
}

}  // namespace detail

/// Returns the content of config.json for CLIPModel or SiglipModel of Hugging Face's transformers.
/// The end token is the last one of the vocabulary, and the start token that before it, as in CLIP.
/// Raises for a model that neither of them can express, and says why.
[[nodiscard]] inline nlohmann::json hugging_face_config(const ModelConfig& config) {
  const auto reason = detail::not_in_hugging_face(config);
  const bool siglip = detail::is_siglip(config);
  TORCH_CHECK(reason.empty(), "hugging_face_config: '", config.name, "' is no ",
              siglip ? "SiglipModel" : "CLIPModel", " of transformers, because ", reason,
              "; export it in OpenCLIP's format");
  const auto& vit = std::get<VisionTransformerOptions>(config.image);
  const auto& text = config.text;
  const std::string family = siglip ? "siglip" : "clip";
  const auto layers = [&](const char* part, const auto& o) {
    return nlohmann::json{{"model_type", family + part},
                          {"hidden_size", o.width},
                          {"intermediate_size", o.hidden()},
                          {"num_hidden_layers", o.layers},
                          {"num_attention_heads", o.heads},
                          {"hidden_act", detail::hugging_face_activation(o.activation)},
                          {"layer_norm_eps", o.layer_norm_eps},
                          {siglip ? "projection_size" : "projection_dim", config.embed_dim}};
  };
  auto vision_config = layers("_vision_model", vit);
  vision_config["image_size"] = vit.image_size;
  vision_config["patch_size"] = vit.patch_size;
  vision_config["num_channels"] = 3;
  auto text_config = layers("_text_model", text);
  text_config["vocab_size"] = text.vocab_size;
  text_config["max_position_embeddings"] = text.context_length;
  text_config["bos_token_id"] = text.vocab_size - 2;
  text_config["eos_token_id"] = text.vocab_size - 1;
  text_config["pad_token_id"] = siglip ? 0 : text.vocab_size - 1;
  nlohmann::json json{{"architectures", {siglip ? "SiglipModel" : "CLIPModel"}},
                      {"model_type", family},
                      {"vision_config", vision_config},
                      {"text_config", text_config}};
  if (siglip) return json;
  json["projection_dim"] = config.embed_dim;
  json["logit_scale_init_value"] = config.initial_logit_scale;
  return json;
}

/// Returns the content of preprocessor_config.json for CLIPImageProcessor of transformers, which
/// SigLIP models can use too. Raises for images that are padded to a square (ResizeMode::kLongest),
/// which it does not do.
[[nodiscard]] inline nlohmann::json hugging_face_preprocessor(const ModelConfig& config) {
  TORCH_CHECK(config.resize_mode != ResizeMode::kLongest, "hugging_face_preprocessor: '",
              config.name, "' pads its images to a square, which CLIPImageProcessor does not do");
  const auto side = config.image_size();
  const nlohmann::json square{{"height", side}, {"width", side}};
  const bool crops = config.resize_mode == ResizeMode::kShortest;
  return {{"image_processor_type", "CLIPImageProcessor"},
          {"do_convert_rgb", true},
          {"do_resize", true},
          {"size", crops ? nlohmann::json{{"shortest_edge", side}} : square},
          {"resample", config.interpolation == Interpolation::kBicubic ? 3 : 2},
          {"do_center_crop", crops},
          {"crop_size", square},
          {"do_rescale", true},
          {"rescale_factor", 1.0 / 255.0},
          {"do_normalize", true},
          {"image_mean", config.image_mean},
          {"image_std", config.image_std}};
}

/// Returns the configuration of a CLIPModel or SiglipModel of transformers from its config.json.
/// `name` names the model in messages and in the result. Missing values are those of transformers
/// 5, and `preprocessor` may be null. Raises for another type of model, and for a value of the
/// wrong type.
[[nodiscard]] inline ModelConfig config_of_hugging_face(const nlohmann::json& json,
                                                        const nlohmann::json& preprocessor,
                                                        const std::string& name) {
  ModelConfig config;
  config.name = name;
  try {
    TORCH_CHECK(json.is_object(), "config_of_hugging_face: config.json of '", name,
                "' is no JSON object; the file is damaged");
    const auto type = json.value("model_type", std::string());
    const bool siglip = type == "siglip";
    TORCH_CHECK(siglip || type == "clip", "config_of_hugging_face: '", name, "' is of type '", type,
                "', and only 'clip' and 'siglip' are read");
    if (siglip) config = detail::siglip_config();
    config.name = name;
    const auto empty = nlohmann::json::object();
    const auto section = [&](const char* key) { return json.contains(key) ? json[key] : empty; };
    const auto vision = section("vision_config"), text = section("text_config");
    const auto read_layers = [&](const nlohmann::json& from, auto& o, std::int64_t width,
                                 std::int64_t heads) {
      o.width = from.value("hidden_size", width);
      o.layers = from.value("num_hidden_layers", std::int64_t{12});
      o.heads = from.value("num_attention_heads", heads);
      const auto hidden = from.value("intermediate_size", 4 * width);
      o.mlp_ratio = static_cast<double>(hidden) / static_cast<double>(o.width);
      if (o.hidden() != hidden)  // The quotient was rounded down.
        o.mlp_ratio = (static_cast<double>(hidden) + 0.5) / static_cast<double>(o.width);
      o.layer_norm_eps = from.value("layer_norm_eps", siglip ? 1e-6 : 1e-5);
      const auto act =
          from.value("hidden_act", std::string(siglip ? "gelu_pytorch_tanh" : "quick_gelu"));
      TORCH_CHECK(act == "gelu" || act == "quick_gelu", "config_of_hugging_face: '", name,
                  "' has the activation '", act, "'; only gelu and quick_gelu are known",
                  act == "gelu_pytorch_tanh"
                      ? ". OpenCLIP computes published SigLIP weights with gelu, which differs by "
                        "up to 5e-4 per number; set hidden_act in config.json to do the same"
                      : "");
      o.activation = act == "gelu" ? Activation::kGelu : Activation::kQuickGelu;
    };
    auto vit = std::get<VisionTransformerOptions>(config.image);
    read_layers(vision, vit, 768, 12);
    vit.image_size = vision.value("image_size", std::int64_t{224});
    vit.patch_size = vision.value("patch_size", std::int64_t{siglip ? 16 : 32});
    read_layers(text, config.text, siglip ? 768 : 512, siglip ? 12 : 8);
    config.text.vocab_size = text.value("vocab_size", std::int64_t{siglip ? 32'000 : 49'408});
    config.text.context_length =
        text.value("max_position_embeddings", std::int64_t{siglip ? 64 : 77});
    if (siglip) {
      config.embed_dim = vit.width;
    } else {
      config.embed_dim = json.value("projection_dim", std::int64_t{512});
      config.initial_logit_scale = json.value("logit_scale_init_value", 2.6592);
    }
    vit.output_dim = config.embed_dim;
    config.image = vit;
    config.text.output_dim = config.embed_dim;
    if (preprocessor.is_object()) {
      if (preprocessor.contains("image_mean"))
        config.image_mean = preprocessor["image_mean"].get<std::array<double, 3>>();
      if (preprocessor.contains("image_std"))
        config.image_std = preprocessor["image_std"].get<std::array<double, 3>>();
      config.interpolation = preprocessor.value("resample", 3) == 2 ? Interpolation::kBilinear
                                                                    : Interpolation::kBicubic;
      if (!preprocessor.value("do_center_crop", !siglip)) config.resize_mode = ResizeMode::kSquash;
    }
  } catch (const nlohmann::json::exception& error) {
    TORCH_CHECK(false, "config_of_hugging_face: '", name,
                "' has a value of an unexpected type: ", error.what());
  }
  return config;
}

}  // namespace contrapunto
