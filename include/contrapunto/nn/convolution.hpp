// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ops/conv2d.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

#include "contrapunto/nn/detail/initialize.hpp"

namespace contrapunto {

/// Square convolution without bias that keeps the size up to its stride, for images in
/// channels-last memory: its `weight` lies in that format too, so that no call converts it.
class ConvolutionImpl : public torch::nn::Module {
 public:
  ConvolutionImpl(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                  const at::TensorOptions& where = {})
      : kernel_(kernel), stride_(stride) {
    const double bound = detail::default_bound(in * kernel * kernel);
    weight =
        register_parameter("weight", detail::uniform_tensor({out, in, kernel, kernel}, bound, where)
                                         .contiguous(at::MemoryFormat::ChannelsLast));
  }

  /// [B, in, H, W] to [B, out, ceil(H / stride), ceil(W / stride)].
  [[nodiscard]] at::Tensor forward(const at::Tensor& x) const {
    return at::conv2d(x, weight, /*bias=*/{}, stride_, kernel_ / 2);
  }

  at::Tensor weight;  ///< [out, in, kernel, kernel]

 private:
  std::int64_t kernel_;
  std::int64_t stride_;
};
TORCH_MODULE(Convolution);

}  // namespace contrapunto
