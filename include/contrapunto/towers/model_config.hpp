// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "contrapunto/image/interpolation.hpp"
#include "contrapunto/image/resize_mode.hpp"
#include "contrapunto/towers/modified_resnet.hpp"
#include "contrapunto/towers/text_transformer.hpp"
#include "contrapunto/towers/vision_transformer.hpp"

namespace contrapunto {

/// Everything that is needed to build a model and to prepare its inputs. It is a value: copy a
/// named configuration and change it.
struct ModelConfig {
  std::string name = {};
  std::int64_t embed_dim = 512;  ///< Width of the features, equal to the `output_dim` of both
                                 ///< towers.
  std::variant<VisionTransformerOptions, ModifiedResNetOptions> image = {};
  TextTransformerOptions text = {};
  bool custom_text = false;  ///< Whether OpenCLIP keeps the text tensors under "text.".
  double initial_logit_scale = std::log(1.0 / 0.07);        ///< Logarithm of the scale.
  std::optional<double> initial_logit_bias = std::nullopt;  ///< Unset: no bias.
  std::array<double, 3> image_mean = {0.48145466, 0.4578275, 0.40821073};  ///< Of pixels in [0, 1].
  std::array<double, 3> image_std = {0.26862954, 0.26130258, 0.27577711};  ///< Of pixels in [0, 1].
  Interpolation interpolation = Interpolation::kBicubic;  ///< Interpolation when images are
                                                          ///< resized.
  ResizeMode resize_mode = ResizeMode::kShortest;         ///< How evaluation images are resized.

  [[nodiscard]] std::int64_t image_size() const {
    return std::visit([](const auto& options) { return options.image_size; }, image);
  }
};

namespace detail {

struct VitRow {
  const char* name;
  std::int64_t embed_dim, width, layers, heads, patch_size;
  std::int64_t text_width, text_heads, text_layers;
  bool quick_gelu_twin;
};

struct ResNetRow {
  const char* name;
  std::int64_t embed_dim;
  std::array<std::int64_t, 4> layers;
  std::int64_t width, image_size;
  std::int64_t text_width, text_heads, text_layers;
  bool quick_gelu_twin;
};

inline constexpr VitRow kVitRows[] = {
    {"ViT-S-32", 384, 384, 12, 6, 32, 384, 6, 12, false},
    {"ViT-S-32-alt", 256, 384, 12, 6, 32, 256, 4, 10, false},
    {"ViT-S-16", 384, 384, 12, 6, 16, 384, 6, 12, false},
    {"ViT-M-32", 512, 512, 12, 8, 32, 512, 8, 12, false},
    {"ViT-M-32-alt", 384, 512, 12, 8, 32, 384, 6, 12, false},
    {"ViT-B-32", 512, 768, 12, 12, 32, 512, 8, 12, true},
    {"ViT-B-16", 512, 768, 12, 12, 16, 512, 8, 12, true},
    {"ViT-L-14", 768, 1024, 24, 16, 14, 768, 12, 12, true},
    {"ViT-H-14", 1024, 1280, 32, 16, 14, 1024, 16, 24, true},
    {"TinyCLIP-ViT-39M-16-Text-19M", 512, 512, 12, 8, 16, 512, 8, 6, false},
    {"TinyCLIP-ViT-8M-16-Text-3M", 512, 256, 10, 4, 16, 256, 4, 3, false},
    {"TinyCLIP-ViT-40M-32-Text-19M", 512, 512, 12, 8, 32, 512, 8, 6, false},
    {"TinyCLIP-ViT-61M-32-Text-29M", 512, 640, 12, 10, 32, 512, 8, 9, false},
};

inline constexpr ResNetRow kResNetRows[] = {
    {"RN50", 1024, {3, 4, 6, 3}, 64, 224, 512, 8, 12, true},
    {"RN101", 512, {3, 4, 23, 3}, 64, 224, 512, 8, 12, true},
    {"RN50x4", 640, {4, 6, 10, 6}, 80, 288, 640, 10, 12, true},
    {"TinyCLIP-ResNet-19M-Text-19M", 1024, {3, 4, 6, 3}, 44, 224, 512, 8, 6, false},
    {"TinyCLIP-ResNet-30M-Text-29M", 1024, {3, 4, 6, 3}, 56, 224, 512, 8, 9, false},
};

inline constexpr const char* kIrregularNames[] = {"TinyCLIP-auto-ViT-63M-32-Text-31M",
                                                  "TinyCLIP-auto-ViT-45M-32-Text-18M",
                                                  "TinyCLIP-auto-ViT-22M-32-Text-10M"};

inline constexpr const char* kQuickGeluSuffix = "-quickgelu";

template <class Row>
ModelConfig start_config(const Row& row, Activation activation) {
  ModelConfig config;
  config.name = row.name;
  if (activation == Activation::kQuickGelu) config.name += kQuickGeluSuffix;
  config.embed_dim = row.embed_dim;
  config.text = {.width = row.text_width,
                 .heads = row.text_heads,
                 .layers = row.text_layers,
                 .output_dim = row.embed_dim,
                 .activation = activation};
  return config;
}

inline ModelConfig to_config(const VitRow& row, Activation activation) {
  auto config = start_config(row, activation);
  config.image = VisionTransformerOptions{.patch_size = row.patch_size,
                                          .width = row.width,
                                          .layers = row.layers,
                                          .heads = row.heads,
                                          .output_dim = row.embed_dim,
                                          .activation = activation};
  return config;
}

inline ModelConfig to_config(const ResNetRow& row, Activation activation) {
  auto config = start_config(row, activation);
  config.image = ModifiedResNetOptions{.image_size = row.image_size,
                                       .layers = row.layers,
                                       .width = row.width,
                                       .heads = row.width / 2,
                                       .output_dim = row.embed_dim};
  return config;
}

inline ModelConfig siglip_config() {
  ModelConfig config;
  config.name = "ViT-B-16-SigLIP";
  config.embed_dim = 768;
  config.image = VisionTransformerOptions{.patch_size = 16,
                                          .output_dim = 768,
                                          .pool = ImagePool::kAttention,
                                          .class_token = false,
                                          .pre_norm = false,
                                          .patch_bias = true,
                                          .projection = false,
                                          .layer_norm_eps = 1e-6,
                                          .initialization = VisionInitialization::kSigLip,
                                          .timm_names = true};
  config.text = {.context_length = 64,
                 .vocab_size = 32000,
                 .width = 768,
                 .heads = 12,
                 .output_dim = 768,
                 .causal = false,
                 .pool = TextPool::kLast,
                 .projection_bias = true,
                 .layer_norm_eps = 1e-6};
  config.custom_text = true;
  config.initial_logit_scale = std::log(10.0);
  config.initial_logit_bias = -10.0;
  config.image_mean = {0.5, 0.5, 0.5};
  config.image_std = {0.5, 0.5, 0.5};
  config.resize_mode = ResizeMode::kSquash;
  return config;
}

inline const std::vector<ModelConfig>& model_configs() {
  static const std::vector<ModelConfig> configs = [] {
    std::vector<ModelConfig> all;
    const auto add = [&](const auto& row) {
      all.push_back(to_config(row, Activation::kGelu));
      if (row.quick_gelu_twin) all.push_back(to_config(row, Activation::kQuickGelu));
    };
    for (const auto& row : kResNetRows) add(row);
    for (const auto& row : kVitRows) add(row);
    all.push_back(siglip_config());
    return all;
  }();
  return configs;
}

}  // namespace detail

/// Returns the names that `model_config` knows.
[[nodiscard]] inline std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const auto& config : detail::model_configs()) names.push_back(config.name);
  return names;
}

/// Returns the configuration that OpenCLIP or TinyCLIP publishes under `name`. The "-quickgelu"
/// variants differ only in the activation. Raises with the list of known names if there is none.
/// Also raises for the models that TinyCLIP extracted automatically, whose layers have different
/// widths: TinyCLIP publishes these only as the shapes of the weights, which config_of_state()
/// reads.
[[nodiscard]] inline ModelConfig model_config(const std::string& name) {
  std::string known;
  for (const char* irregular : detail::kIrregularNames)
    TORCH_CHECK(name != irregular, "model_config: the layers of '", name,
                "' have different widths, which TinyCLIP publishes only in the weights; give "
                "find_model_config() (the settings for models) the path of the weights instead of "
                "the name, or call config_of_state() on their tensors");
  for (const auto& config : detail::model_configs()) {
    if (config.name == name) return config;
    known += (known.empty() ? "" : ", ") + config.name;
  }
  TORCH_CHECK(false, "model_config: no model named '", name, "'; the known names are: ", known);
}

/// Returns `config` with the learned scale and bias from which the sigmoid loss starts: scale 10
/// and bias -10. A configuration that already has a bias is returned unchanged.
/// Reference: Zhai et al. 2023, https://arxiv.org/abs/2303.15343
[[nodiscard]] inline ModelConfig with_sigmoid_head(ModelConfig config) {
  if (config.initial_logit_bias) return config;
  config.initial_logit_scale = std::log(10.0);
  config.initial_logit_bias = -10.0;
  return config;
}

}  // namespace contrapunto
