// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/towers/make_dual_encoder.hpp"
#include "support/catch.hpp"

namespace contrapunto::test {

inline TextTransformerOptions small_text() {
  return {.context_length = 16,
          .vocab_size = 100,
          .width = 24,
          .heads = 2,
          .layers = 3,
          .output_dim = 20};
}

inline VisionTransformerOptions small_vit() {
  return {
      .image_size = 32, .patch_size = 8, .width = 24, .layers = 3, .heads = 2, .output_dim = 20};
}

/// A text transformer whose layers differ, of a width that heads of 6 numbers do not divide. The
/// middle layer has no attention and no hidden units.
inline TextTransformerOptions irregular_text() {
  auto o = small_text();
  o.width = 20;
  o.heads = 4;
  o.head_width = 6;
  o.layer_heads = {4, 0, 2};
  o.layer_hidden = {11, 0, 7};
  return o;
}

/// A vision transformer of the same kind, with 5 layers.
inline VisionTransformerOptions irregular_vit() {
  auto o = small_vit();
  o.width = 22;
  o.layers = 5;
  o.heads = 2;
  o.head_width = 6;
  o.layer_heads = {1, 3, 0, 4, 2};
  o.layer_hidden = {9, 0, 30, 1, 13};
  return o;
}

inline ModifiedResNetOptions small_resnet() {
  return {.image_size = 64, .layers = {1, 2, 1, 1}, .width = 8, .heads = 4, .output_dim = 20};
}

/// A model of every kind that the named configurations have, small.
inline ModelConfig small_config(const std::string& kind) {
  auto config = model_config(kind);
  const auto image = config.image;
  config.embed_dim = 20;
  if (kind == "RN50") {
    config.image = small_resnet();
  } else {
    auto vit = std::get<VisionTransformerOptions>(image);
    vit.image_size = 32;
    vit.patch_size = 8;
    vit.width = kind == "ViT-B-16-SigLIP" ? 20 : 24;  // its features are as wide as its tokens
    vit.layers = 3;
    vit.heads = 2;
    vit.output_dim = 20;
    config.image = vit;
  }
  config.text.context_length = 16;
  config.text.vocab_size = 100;
  config.text.width = 24;
  config.text.heads = 2;
  config.text.layers = 3;
  config.text.output_dim = 20;
  return config;
}

/// Random ids with the end token 99 at `ends` and zeros after it.
inline at::Tensor texts(const std::vector<std::int64_t>& ends, std::int64_t length = 16) {
  auto tokens = torch::randint(1, 99, {static_cast<std::int64_t>(ends.size()), length});
  for (std::size_t i = 0; i < ends.size(); ++i) {
    auto row = tokens[static_cast<std::int64_t>(i)];
    row[ends[i]] = 99;
    row.narrow(0, ends[i] + 1, length - ends[i] - 1).zero_();
  }
  return tokens;
}

inline at::Tensor images(const ModelConfig& config, std::int64_t batch) {
  return torch::randn({batch, 3, config.image_size(), config.image_size()});
}

}  // namespace contrapunto::test
