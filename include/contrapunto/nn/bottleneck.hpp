// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ops/avg_pool2d.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>

#include "contrapunto/nn/batch_norm.hpp"
#include "contrapunto/nn/convolution.hpp"

namespace contrapunto {

/// Residual block of three convolutions, 1x1, 3x3 and 1x1; the last one has four times as many
/// channels. All have stride 1. If the block halves the map, an average pool precedes the last
/// convolution and the convolution of the shortcut. The weights of the last batch norm start at
/// zero, so a new block passes its shortcut through.
class BottleneckImpl : public torch::nn::Module {
 public:
  static constexpr std::int64_t kExpansion = 4;

  BottleneckImpl(std::int64_t in, std::int64_t planes, std::int64_t stride,
                 const at::TensorOptions& tensor_options = {})
      : stride_(stride) {
    const auto out = planes * kExpansion;
    conv1 = register_module("conv1", Convolution(in, planes, 1, 1, tensor_options));
    bn1 = register_module("bn1", BatchNorm(planes, 1.0, tensor_options));
    conv2 = register_module("conv2", Convolution(planes, planes, 3, 1, tensor_options));
    bn2 = register_module("bn2", BatchNorm(planes, 1.0, tensor_options));
    conv3 = register_module("conv3", Convolution(planes, out, 1, 1, tensor_options));
    bn3 = register_module("bn3", BatchNorm(out, 0.0, tensor_options));
    if (stride > 1 || in != out) {
      // "0" and "1" are OpenCLIP's names; its pool "-1" has no tensors.
      const auto downsample = register_module("downsample", std::make_shared<torch::nn::Module>());
      shortcut_conv = downsample->register_module("0", Convolution(in, out, 1, 1, tensor_options));
      shortcut_norm = downsample->register_module("1", BatchNorm(out, 1.0, tensor_options));
    }
  }

  /// Maps [B, in, H, W] to [B, 4 planes, H / stride, W / stride].
  [[nodiscard]] at::Tensor forward(const at::Tensor& x) {
    auto y = bn1(conv1(x)).relu_();
    y = bn3(conv3(pool(bn2(conv2(y)).relu_())));
    return y.add_(shortcut_conv ? shortcut_norm(shortcut_conv(pool(x))) : x).relu_();
  }

  [[nodiscard]] std::int64_t stride() const { return stride_; }

  Convolution conv1 = nullptr;
  BatchNorm bn1 = nullptr;
  Convolution conv2 = nullptr;
  BatchNorm bn2 = nullptr;
  Convolution conv3 = nullptr;
  BatchNorm bn3 = nullptr;
  Convolution shortcut_conv = nullptr;  ///< Empty if the shortcut is the input itself.
  BatchNorm shortcut_norm = nullptr;

 private:
  at::Tensor pool(const at::Tensor& x) const {
    return stride_ > 1 ? at::avg_pool2d(x, {stride_, stride_}) : x;
  }

  std::int64_t stride_;
};
TORCH_MODULE(Bottleneck);

}  // namespace contrapunto
