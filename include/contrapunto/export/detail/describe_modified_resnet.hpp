// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <cstdint>
#include <string>

#include "contrapunto/export/detail/describe_block.hpp"
#include "contrapunto/export/graph_builder.hpp"
#include "contrapunto/nn/attention_pool_2d.hpp"
#include "contrapunto/nn/batch_norm.hpp"
#include "contrapunto/nn/bottleneck.hpp"
#include "contrapunto/nn/convolution.hpp"
#include "contrapunto/towers/modified_resnet.hpp"

namespace contrapunto::detail {

/// A convolution and the batch norm behind it as one convolution, with the running statistics. The
/// factors are computed in float64.
inline GraphValue describe_normed_convolution(GraphBuilder& g, const std::string& name,
                                              const ConvolutionImpl& conv,
                                              const BatchNormImpl& norm, GraphValue x) {
  const at::NoGradGuard no_grad;
  const auto scope = g.scope(name);
  const auto wide = [](const at::Tensor& tensor) { return tensor.to(at::kDouble); };
  const auto factor = wide(norm.weight) / (wide(norm.running_var) + BatchNormImpl::kEps).sqrt();
  const auto kernel = conv.effective_weight(conv.weight);
  const auto weight = (wide(kernel) * factor.view({-1, 1, 1, 1})).to(at::kFloat).contiguous();
  const auto bias = (wide(norm.bias) - wide(norm.running_mean) * factor).to(at::kFloat);
  return g.convolution(x, weight, bias, conv.stride(), kernel.size(2) / 2);
}

/// Maps a feature map [B, C, H, W] to another one.
inline GraphValue describe_bottleneck(GraphBuilder& g, const BottleneckImpl& b, GraphValue x) {
  const auto pooled = [&](GraphValue map) {
    return b.stride() > 1 ? g.average_pool(map, b.stride()) : map;
  };
  auto y = g.relu(describe_normed_convolution(g, "conv1", *b.conv1, *b.bn1, x));
  y = g.relu(describe_normed_convolution(g, "conv2", *b.conv2, *b.bn2, y));
  y = describe_normed_convolution(g, "conv3", *b.conv3, *b.bn3, pooled(y));
  if (b.shortcut_conv)
    x = describe_normed_convolution(g, "downsample", *b.shortcut_conv, *b.shortcut_norm, pooled(x));
  return g.relu(g.add(y, x));
}

/// Maps a feature map [B, C, H, W] to features [B, output_dim].
inline GraphValue describe_attention_pool_2d(GraphBuilder& g, const AttentionPool2dImpl& pool,
                                             GraphValue map) {
  const auto scope = g.scope("attnpool");
  const auto width = g.shape_of(map)[1], cells = g.shape_of(map)[2] * g.shape_of(map)[3];
  const auto heads = pool.heads(), head = width / heads;
  auto x = g.transpose(g.reshape(map, {-1, width, cells}), {0, 2, 1});
  x = g.concatenate({g.mean(x, 1), x}, 1);
  x = g.add(x, g.weight("positional_embedding", pool.positional_embedding));
  const auto split = [&](const char* name, const Linear& linear, GraphValue tokens) {
    const auto y = describe_linear(g, name, *linear, tokens);
    return g.transpose(g.reshape(y, {-1, g.shape_of(tokens)[1], heads, head}), {0, 2, 1, 3});
  };
  const auto q = split("q_proj", pool.q_proj, g.slice(x, 1, 0, 1));
  const auto mixed =
      g.attention(q, split("k_proj", pool.k_proj, x), split("v_proj", pool.v_proj, x),
                  1.0 / std::sqrt(static_cast<double>(head)));
  return describe_linear(g, "c_proj", *pool.c_proj,
                         g.reshape(g.transpose(mixed, {0, 2, 1, 3}), {-1, width}));
}

/// Maps normalized images [B, 3, image_size, image_size] to features [B, output_dim].
inline GraphValue describe_modified_resnet(GraphBuilder& g, const ModifiedResNetImpl& tower,
                                           GraphValue images) {
  auto x = images;
  for (std::size_t i = 0; i < tower.convolutions.size(); ++i)
    x = g.relu(describe_normed_convolution(g, "conv" + std::to_string(i + 1),
                                           *tower.convolutions[i], *tower.norms[i], x));
  x = g.average_pool(x, 2);
  for (std::size_t i = 0; i < tower.blocks.size(); ++i) {
    const auto scope = g.scope("block" + std::to_string(i));
    x = describe_bottleneck(g, *tower.blocks[i], x);
  }
  return describe_attention_pool_2d(g, *tower.attnpool, x);
}

}  // namespace contrapunto::detail
