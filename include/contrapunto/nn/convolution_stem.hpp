// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/relu.h>
#include <c10/util/Exception.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "contrapunto/nn/convolution.hpp"

namespace contrapunto {

/// A stem that turns images into tokens with overlapping convolutions instead of separate patches:
/// `layers` times a 3 x 3 convolution without bias, ReLU, and a 3 x 3 maximum pool with stride 2.
/// Its submodules are named `convs.0` and so on.
/// Reference: Hassani et al. 2021, https://arxiv.org/abs/2104.05704
class ConvolutionStemImpl : public torch::nn::Module {
 public:
  /// The first layers have `channels` channels, and the last one has `width`.
  ConvolutionStemImpl(std::int64_t layers, std::int64_t channels, std::int64_t width,
                      const at::TensorOptions& tensor_options = {}) {
    TORCH_CHECK(layers > 0 && channels > 0, "ConvolutionStem: layers (", layers, ") and channels (",
                channels, ") must be positive");
    const auto list = register_module("convs", std::make_shared<torch::nn::Module>());
    for (std::int64_t i = 0; i < layers; ++i) {
      const auto in = i == 0 ? 3 : channels, out = i + 1 == layers ? width : channels;
      convs.push_back(
          list->register_module(std::to_string(i), Convolution(in, out, 3, 1, tensor_options)));
      // He et al. 2015: the variance that keeps the size of activations through ReLU.
      const double std = std::sqrt(2.0 / static_cast<double>(in * 9));
      const at::NoGradGuard no_grad;
      convs.back()->weight.normal_(0.0, std);
    }
  }

  /// Maps images [B, 3, H, W] to tokens [B * n, width] in row-major order, n = ceil(H / 2^layers)
  /// ceil(W / 2^layers).
  [[nodiscard]] at::Tensor forward(const at::Tensor& images) {
    auto x =
        images.to(convs.front()->weight.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);
    // ReLU commutes with the maximum, and a quarter of the numbers is left after it.
    for (auto& conv : convs) x = at::max_pool2d(conv(x), 3, 2, 1).relu_();
    return x.permute({0, 2, 3, 1}).reshape({-1, x.size(1)});
  }

  std::vector<Convolution> convs;
};
TORCH_MODULE(ConvolutionStem);

}  // namespace contrapunto
