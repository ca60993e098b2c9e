// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <variant>

#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

/// Work of one forward pass of one sample, in 10^9 operations; a multiply-add counts as two.
struct ForwardGflops {
  double image = 0.0;
  double text = 0.0;
};

namespace detail {

/// Multiply-adds of `layers` transformer blocks on `tokens` tokens: projections, MLP, attention.
inline double block_macs(std::int64_t tokens, std::int64_t width, std::int64_t hidden,
                         std::int64_t layers) {
  const auto n = static_cast<double>(tokens);
  const auto w = static_cast<double>(width);
  return static_cast<double>(layers) *
         (n * w * (4.0 * w + 2.0 * static_cast<double>(hidden)) + 2.0 * n * n * w);
}

inline double image_macs(const VisionTransformerOptions& o) {
  const auto w = static_cast<double>(o.width);
  const auto patches = static_cast<double>(o.grid() * o.grid());
  const std::int64_t tokens = o.grid() * o.grid() + (o.class_token ? 1 : 0);
  double macs = patches * w * 3.0 * static_cast<double>(o.patch_size * o.patch_size) +
                block_macs(tokens, o.width, o.hidden(), o.layers);
  if (o.pool == ImagePool::kAttention)
    macs += static_cast<double>(tokens) * 2.0 * w * (w + 1.0) +
            2.0 * w * (w + static_cast<double>(o.hidden()));
  if (o.projection) macs += w * static_cast<double>(o.output_dim);
  return macs;
}

inline double image_macs(const ModifiedResNetOptions& o) {
  double macs = 0.0;
  const auto convolution = [&](std::int64_t side, std::int64_t in, std::int64_t out,
                               std::int64_t kernel) {
    macs += static_cast<double>(side * side) * static_cast<double>(in * out * kernel * kernel);
  };
  auto side = o.image_size / 2;
  convolution(side, 3, o.width / 2, 3);
  convolution(side, o.width / 2, o.width / 2, 3);
  convolution(side, o.width / 2, o.width, 3);
  side /= 2;
  auto in = o.width;
  for (std::int64_t stage = 0; stage < 4; ++stage) {
    const auto planes = o.width << stage;
    const auto out = planes * BottleneckImpl::kExpansion;
    for (std::int64_t i = 0; i < o.layers[static_cast<std::size_t>(stage)]; ++i) {
      const auto before = side;
      if (i == 0 && stage > 0) side /= 2;
      convolution(before, in, planes, 1);
      convolution(before, planes, planes, 3);
      convolution(side, planes, out, 1);
      if (i == 0) convolution(side, in, out, 1);
      in = out;
    }
  }
  const auto tokens = static_cast<double>(o.grid() * o.grid() + 1);
  const auto w = static_cast<double>(in);
  return macs + tokens * w * (3.0 * w + 2.0 * tokens + static_cast<double>(o.output_dim));
}

}  // namespace detail

/// Work of the whole towers as published tables count it: every token through every layer. Our
/// towers do less, since the last block and the pools compute the pooled token only. `text_tokens`
/// is the length that texts are trimmed to; 0 means context_length.
[[nodiscard]] inline ForwardGflops forward_gflops(const ModelConfig& config,
                                                  std::int64_t text_tokens = 0) {
  const auto& text = config.text;
  const auto tokens =
      text_tokens > 0 ? std::min(text_tokens, text.context_length) : text.context_length;
  const double text_macs = detail::block_macs(tokens, text.width, text.hidden(), text.layers) +
                           static_cast<double>(text.width * text.output_dim);
  const double macs = std::visit([](const auto& o) { return detail::image_macs(o); }, config.image);
  return {2e-9 * macs, 2e-9 * text_macs};
}

}  // namespace contrapunto
