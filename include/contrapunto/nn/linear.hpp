// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ops/linear.h>
#include <ATen/ops/zeros.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <optional>

#include "contrapunto/nn/detail/initialize.hpp"

namespace contrapunto {

struct LinearOptions {
  std::int64_t in_features = 1;
  std::int64_t out_features = 1;
  /// Normal of this deviation; unset: uniform as torch.nn.Linear.
  std::optional<double> weight_std = std::nullopt;
  bool zero_bias = false;  ///< Unset: uniform as torch.nn.Linear.
};

/// y = x W^T + b with parameters `weight` [out, in] and `bias` [out]. Unlike torch::nn::Linear it
/// can be made on any device, the meta device included, and draws its weights once.
class LinearImpl : public torch::nn::Module {
 public:
  explicit LinearImpl(LinearOptions options, const at::TensorOptions& where = {}) {
    const double bound = detail::default_bound(options.in_features);
    const std::int64_t shape[] = {options.out_features, options.in_features};
    weight = register_parameter(
        "weight", options.weight_std ? detail::normal_tensor(shape, *options.weight_std, where)
                                     : detail::uniform_tensor(shape, bound, where));
    bias = register_parameter(
        "bias", options.zero_bias ? at::zeros({options.out_features}, where)
                                  : detail::uniform_tensor({options.out_features}, bound, where));
  }

  /// [..., in] to [..., out].
  [[nodiscard]] at::Tensor forward(const at::Tensor& x) const {
    return at::linear(x, weight, bias);
  }

  at::Tensor weight;  ///< [out, in]
  at::Tensor bias;    ///< [out]
};
TORCH_MODULE(Linear);

}  // namespace contrapunto
