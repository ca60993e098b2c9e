// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ops/conv2d.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

#include "contrapunto/nn/detail/initialize.hpp"
#include "contrapunto/nn/parametrized_module.hpp"

namespace contrapunto {

/// Square convolution without bias whose padding keeps the size, apart from its stride. It is meant
/// for images in channels-last memory format: its `weight` has that format too, so that no call
/// converts it.
class ConvolutionImpl : public ParametrizedModule {
 public:
  ConvolutionImpl(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                  const at::TensorOptions& tensor_options = {})
      : kernel_(kernel), stride_(stride) {
    const double bound = detail::default_bound(in * kernel * kernel);
    weight = register_weight(
        "weight", detail::uniform_tensor({out, in, kernel, kernel}, bound, tensor_options)
                      .contiguous(at::MemoryFormat::ChannelsLast));
  }

  /// Maps [B, in, H, W] to [B, out, ceil(H / stride), ceil(W / stride)].
  [[nodiscard]] at::Tensor forward(const at::Tensor& x) const {
    return at::conv2d(x, effective_weight(weight), /*bias=*/{}, stride_, kernel_ / 2);
  }

  [[nodiscard]] std::int64_t stride() const { return stride_; }

  at::Tensor weight;  ///< [out, in, kernel, kernel]

 private:
  std::int64_t kernel_;
  std::int64_t stride_;
};
TORCH_MODULE(Convolution);

}  // namespace contrapunto
