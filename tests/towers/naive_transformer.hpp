// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

#include "support/catch.hpp"

namespace contrapunto::test {

inline at::Tensor naive_norm(const at::Tensor& x, const at::Tensor& weight,
                             const at::Tensor& bias) {
  const auto centered = x - x.mean(-1, /*keepdim=*/true);
  return centered / (centered.square().mean(-1, /*keepdim=*/true) + 1e-5).sqrt() * weight + bias;
}

/// The outputs of the heads, [B, L, inner], for normed inputs `y` [B, L, width] and the parameters
/// of the packed projection.
inline at::Tensor naive_heads(const at::Tensor& y, const at::Tensor& weight, const at::Tensor& bias,
                              std::int64_t head_width, bool causal) {
  const auto length = y.size(1), inner = weight.size(0) / 3;
  const auto qkv = y.matmul(weight.t()) + bias;
  auto mixed = torch::zeros({y.size(0), length, inner}, y.options());
  for (std::int64_t b = 0; b < y.size(0); ++b)
    for (std::int64_t begin = 0; begin < inner; begin += head_width)
      for (std::int64_t i = 0; i < length; ++i) {
        const auto seen = causal ? i + 1 : length;
        const auto part = [&](std::int64_t which) {
          return qkv[b].narrow(0, 0, seen).narrow(1, which * inner + begin, head_width);
        };
        const auto q = qkv[b][i].narrow(0, begin, head_width);
        const auto scores = part(1).mv(q) / std::sqrt(static_cast<double>(head_width));
        const auto shares = scores.exp() / scores.exp().sum();
        mixed[b][i].narrow(0, begin, head_width).copy_(part(2).t().mv(shares));
      }
  return mixed;
}

/// The blocks of a CLIP transformer, `x` [B, L, width] to the same shape, from the parameters of
/// `tower` alone: loops over sequences, heads and queries, and everything that a layer has not is
/// left out. Heads have `head_width` numbers. It can be differentiated.
inline at::Tensor naive_blocks(at::Tensor x, const torch::nn::Module& tower,
                               std::int64_t head_width, bool causal) {
  const auto named = tower.named_parameters();
  for (std::int64_t layer = 0;; ++layer) {
    const auto block = "transformer.resblocks." + std::to_string(layer) + ".";
    if (!named.contains(block + "ln_2.weight")) return x;
    const auto get = [&](const std::string& name) { return named[block + name]; };
    if (named.contains(block + "attn.in_proj_weight")) {
      const auto y = naive_norm(x, get("ln_1.weight"), get("ln_1.bias"));
      const auto mixed =
          naive_heads(y, get("attn.in_proj_weight"), get("attn.in_proj_bias"), head_width, causal);
      x = x + mixed.matmul(get("attn.out_proj.weight").t()) + get("attn.out_proj.bias");
    }
    const auto y = naive_norm(x, get("ln_2.weight"), get("ln_2.bias"));
    const auto h = y.matmul(get("mlp.c_fc.weight").t()) + get("mlp.c_fc.bias");
    const auto gelu = 0.5 * h * (1.0 + torch::erf(h / std::sqrt(2.0)));
    x = x + gelu.matmul(get("mlp.c_proj.weight").t()) + get("mlp.c_proj.bias");
  }
}

/// Gives every parameter of `module` random numbers, so that no bias is 0 and no gain is 1.
inline void randomize(torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  for (auto& parameter : module.parameters()) parameter.add_(torch::randn_like(parameter), 0.1);
}

}  // namespace contrapunto::test
