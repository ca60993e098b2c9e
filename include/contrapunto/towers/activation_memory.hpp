// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <variant>

#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

namespace detail {

/// Elements that a transformer keeps for backward: per token and block the inputs of two norms and
/// what they return, queries, keys, values, what attention returns, and both sides of the MLP's
/// activation.
inline double kept_elements(std::int64_t tokens, std::int64_t width, std::int64_t hidden,
                            std::int64_t layers) {
  const auto per_token = 8.0 * static_cast<double>(width) + 2.0 * static_cast<double>(hidden);
  return static_cast<double>(tokens * layers) * per_token;
}

inline double kept_elements(const VisionTransformerOptions& o) {
  const auto tokens = o.grid() * o.grid() + (o.class_token ? 1 : 0);
  return kept_elements(tokens, o.width, o.hidden(), o.layers);
}

/// Each convolution's result is kept twice: before its norm and after the activation.
inline double kept_elements(const ModifiedResNetOptions& o) {
  double elements = 0.0;
  const auto keep = [&](std::int64_t side, std::int64_t channels) {
    elements += 2.0 * static_cast<double>(side * side * channels);
  };
  auto side = o.image_size / 2;
  keep(side, o.width / 2);
  keep(side, o.width / 2);
  keep(side, o.width);
  side /= 2;
  for (std::size_t stage = 0; stage < o.layers.size(); ++stage) {
    const auto planes = o.width << stage;
    for (std::int64_t i = 0; i < o.layers[stage]; ++i) {
      const bool strided = i == 0 && stage > 0;
      keep(side, planes);
      keep(side, planes);
      if (strided) side /= 2;
      keep(side, 4 * planes);
      if (i == 0) keep(side, 4 * planes);
    }
  }
  return elements;
}

}  // namespace detail

/// Bytes of activations that one pair keeps for the backward pass, estimated from the shapes: right
/// to about a fifth. `element_bytes` is 4 for float32, 2 under bf16 or fp16; `text_tokens` is the
/// length that texts are trimmed to, 0 means context_length.
[[nodiscard]] inline double activation_bytes(const ModelConfig& config, double element_bytes,
                                             std::int64_t text_tokens = 0) {
  const auto& text = config.text;
  const auto tokens =
      text_tokens > 0 ? std::min(text_tokens, text.context_length) : text.context_length;
  const double image =
      std::visit([](const auto& o) { return detail::kept_elements(o); }, config.image);
  return element_bytes *
         (image + detail::kept_elements(tokens, text.width, text.hidden(), text.layers));
}

}  // namespace contrapunto
