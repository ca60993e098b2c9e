// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
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
  bool image_only = false;   ///< There is no text tower, and `text` is ignored.
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

/// A model of images alone, with timm's names of tensors, whose features have the width of the
/// tower.
inline ModelConfig image_config(const char* name, VisionTransformerOptions image,
                                std::array<double, 3> mean = {0.485, 0.456, 0.406},
                                std::array<double, 3> std = {0.229, 0.224, 0.225}) {
  image.projection = false;
  image.output_dim = image.width;
  image.pre_norm = false;
  image.patch_bias = true;
  image.initialization = VisionInitialization::kSigLip;
  image.timm_names = true;
  ModelConfig config;
  config.name = name;
  config.embed_dim = image.width;
  config.image = image;
  config.image_only = true;
  config.image_mean = mean;
  config.image_std = std;
  return config;
}

/// The published models of images alone, by the names that timm or their authors give them.
inline std::vector<ModelConfig> image_configs() {
  std::vector<ModelConfig> all;
  const std::array<double, 3> half{0.5, 0.5, 0.5};
  const std::array<double, 3> clip_mean{0.48145466, 0.4578275, 0.40821073};
  const std::array<double, 3> clip_std{0.26862954, 0.26130258, 0.27577711};
  struct Size {
    const char* name;
    std::int64_t width, heads;
  };
  // Dosovitskiy et al. 2020, https://arxiv.org/abs/2010.11929; Steiner et al. 2021,
  // https://arxiv.org/abs/2106.10270
  struct Plain {
    const char* name;
    std::int64_t patch_size, width, layers, heads;
  };
  for (const auto& size : {Plain{"vit_tiny_patch16_224", 16, 192, 12, 3},
                           Plain{"vit_small_patch16_224", 16, 384, 12, 6},
                           Plain{"vit_small_patch32_224", 32, 384, 12, 6},
                           Plain{"vit_base_patch16_224", 16, 768, 12, 12},
                           Plain{"vit_base_patch32_224", 32, 768, 12, 12},
                           Plain{"vit_large_patch16_224", 16, 1024, 24, 16}})
    all.push_back(image_config(size.name,
                               {.patch_size = size.patch_size,
                                .width = size.width,
                                .layers = size.layers,
                                .heads = size.heads,
                                .layer_norm_eps = 1e-6},
                               half, half));
  // Touvron et al. 2022, https://arxiv.org/abs/2204.07118
  for (const auto& size :
       {Size{"deit3_small_patch16_224", 384, 6}, Size{"deit3_medium_patch16_224", 512, 8},
        Size{"deit3_base_patch16_224", 768, 12}})
    all.push_back(image_config(size.name, {.patch_size = 16,
                                           .width = size.width,
                                           .heads = size.heads,
                                           .layer_norm_eps = 1e-6,
                                           .prefix_positions = false,
                                           .layer_scale = 1e-4}));
  // Oquab et al. 2023, https://arxiv.org/abs/2304.07193; Darcet et al. 2023,
  // https://arxiv.org/abs/2309.16588
  for (const auto& size :
       {Size{"vit_small_patch14_dinov2", 384, 6}, Size{"vit_base_patch14_dinov2", 768, 12},
        Size{"vit_small_patch14_reg4_dinov2", 384, 6},
        Size{"vit_base_patch14_reg4_dinov2", 768, 12}}) {
    const bool registers = std::string_view(size.name).find("reg4") != std::string_view::npos;
    all.push_back(image_config(size.name, {.image_size = 518,
                                           .patch_size = 14,
                                           .width = size.width,
                                           .heads = size.heads,
                                           .layer_norm_eps = 1e-6,
                                           .prefix_positions = !registers,
                                           .registers = registers ? 4 : 0,
                                           .layer_scale = 1e-5}));
  }
  // Bao et al. 2021, https://arxiv.org/abs/2106.08254
  all.push_back(image_config("beit_base_patch16_224",
                             {.patch_size = 16,
                              .pool = ImagePool::kAverage,
                              .layer_norm_eps = 1e-6,
                              .positions = ImagePositions::kNone,
                              .relative_bias = RelativeBiasKind::kTable,
                              .qkv_bias = AttentionBias::kNoKeys,
                              .layer_scale = 0.1,
                              .norm_after_pool = true},
                             half, half));
  // Fang et al. 2023, https://arxiv.org/abs/2303.11331
  for (const auto& size :
       {Size{"eva02_tiny_patch14_224", 192, 3}, Size{"eva02_small_patch14_224", 384, 6}})
    all.push_back(image_config(
        size.name,
        {.patch_size = 14,
         .width = size.width,
         .heads = size.heads,
         .mlp_ratio = 8.0 / 3.0,
         .pool = ImagePool::kAverage,
         .layer_norm_eps = 1e-6,
         .rotary = {.kind = RotaryKind::kAxial, .trained_side = 16, .columns_first = false},
         .qkv_bias = AttentionBias::kNoKeys,
         .mlp = MlpKind::kSwiGlu,
         .norm_after_pool = true},
        clip_mean, clip_std));
  // Heo et al. 2024, https://arxiv.org/abs/2403.13298
  for (const auto& size :
       {Size{"vit_small_patch16_rope_mixed_224", 384, 6},
        Size{"vit_base_patch16_rope_mixed_224", 768, 12},
        Size{"vit_small_patch16_rope_224", 384, 6}, Size{"vit_base_patch16_rope_224", 768, 12}}) {
    const bool mixed = std::string_view(size.name).find("mixed") != std::string_view::npos;
    all.push_back(
        image_config(size.name, {.patch_size = 16,
                                 .width = size.width,
                                 .heads = size.heads,
                                 .layer_norm_eps = 1e-6,
                                 .positions = ImagePositions::kNone,
                                 .rotary = {.kind = mixed ? RotaryKind::kMixed : RotaryKind::kAxial,
                                            .temperature = mixed ? 10.0 : 100.0},
                                 .layer_scale = 1e-5}));
  }
  // Beyer et al. 2022, https://arxiv.org/abs/2205.01580
  all.push_back(image_config("vit_small_patch16_big_vision",
                             {.patch_size = 16,
                              .width = 384,
                              .heads = 6,
                              .pool = ImagePool::kAverage,
                              .class_token = false,
                              .layer_norm_eps = 1e-6,
                              .positions = ImagePositions::kSinCos},
                             half, half));
  // Hassani et al. 2021, https://arxiv.org/abs/2104.05704, for images of 32 x 32 pixels
  struct Compact {
    const char* name;
    std::int64_t layers, width, heads;
    double mlp_ratio;
    std::int64_t stem_layers;
  };
  for (const auto& size :
       {Compact{"cct_2_3x2_32", 2, 128, 2, 1.0, 2}, Compact{"cct_4_3x2_32", 4, 128, 2, 1.0, 2},
        Compact{"cct_7_3x1_32", 7, 256, 4, 2.0, 1}})
    all.push_back(image_config(size.name, {.image_size = 32,
                                           .patch_size = std::int64_t{1} << size.stem_layers,
                                           .width = size.width,
                                           .layers = size.layers,
                                           .heads = size.heads,
                                           .mlp_ratio = size.mlp_ratio,
                                           .pool = ImagePool::kSequence,
                                           .class_token = false,
                                           .stem = ImageStem::kConvolutions,
                                           .stem_layers = size.stem_layers,
                                           .qkv_bias = AttentionBias::kNone,
                                           .block_order = BlockOrder::kNormedStream,
                                           .drop_path = 0.1}));
  // Lee et al. 2021, https://arxiv.org/abs/2112.13492
  all.push_back(image_config("vit_192x9_patch4_32", {.image_size = 32,
                                                     .patch_size = 4,
                                                     .width = 192,
                                                     .layers = 9,
                                                     .heads = 12,
                                                     .head_width = 16,
                                                     .mlp_ratio = 2.0,
                                                     .qkv_bias = AttentionBias::kNone,
                                                     .drop_path = 0.1}));
  return all;
}

/// Perception Encoder's CLIP models.
/// Reference: Bolya et al. 2025, https://arxiv.org/abs/2504.13181
inline std::vector<ModelConfig> perception_encoder_configs() {
  struct Size {
    const char* name;
    std::int64_t embed_dim, image_size, patch_size, width, layers, heads;
    std::int64_t text_heads, text_layers;
  };
  std::vector<ModelConfig> all;
  for (const auto& size : {Size{"PE-Core-T-16-384", 512, 384, 16, 192, 12, 3, 8, 12},
                           Size{"PE-Core-S-16-384", 512, 384, 16, 384, 12, 6, 8, 12},
                           Size{"PE-Core-B-16", 1024, 224, 16, 768, 12, 12, 16, 24},
                           Size{"PE-Core-L-14-336", 1024, 336, 14, 1024, 24, 16, 16, 24}}) {
    ModelConfig config;
    config.name = size.name;
    config.embed_dim = size.embed_dim;
    config.image =
        VisionTransformerOptions{.image_size = size.image_size,
                                 .patch_size = size.patch_size,
                                 .width = size.width,
                                 .layers = size.layers,
                                 .heads = size.heads,
                                 .output_dim = size.embed_dim,
                                 .pool = ImagePool::kAttention,
                                 .projection_bias = true,
                                 .initialization = VisionInitialization::kSigLip,
                                 .timm_names = true,
                                 .rotary = {.kind = RotaryKind::kAxial,
                                            .trained_side = size.image_size / size.patch_size,
                                            .offset = 1.0},
                                 .pool_heads = 8};
    config.text = {.context_length = 32,
                   .width = size.embed_dim,
                   .heads = size.text_heads,
                   .layers = size.text_layers,
                   .output_dim = size.embed_dim};
    config.custom_text = true;
    config.image_mean = {0.5, 0.5, 0.5};
    config.image_std = {0.5, 0.5, 0.5};
    config.resize_mode = ResizeMode::kSquash;
    all.push_back(config);
  }
  return all;
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
    for (auto& config : perception_encoder_configs()) all.push_back(std::move(config));
    for (auto& config : image_configs()) all.push_back(std::move(config));
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

/// Returns the configuration that OpenCLIP or TinyCLIP publishes under `name`, or that of a model
/// of images alone that timm has: `image_only` is then set, and make_image_tower() builds it. The
/// "-quickgelu" variants differ only in the activation. Raises with the list of known names if
/// there is none. Also raises for the models that TinyCLIP extracted automatically, whose layers
/// have different widths: TinyCLIP publishes these only as the shapes of the weights, which
/// config_of_state() reads.
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
