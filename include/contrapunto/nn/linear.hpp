// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ops/linear.h>
#include <ATen/ops/zeros.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <optional>

#include "contrapunto/nn/detail/initialize.hpp"
#include "contrapunto/nn/parametrized_module.hpp"

namespace contrapunto {

struct LinearOptions {
  std::int64_t in_features = 1;
  std::int64_t out_features = 1;
  /// Standard deviation of a normal distribution; unset: uniform as in torch.nn.Linear.
  std::optional<double> weight_std = std::nullopt;
  bool zero_bias = false;  ///< If false, uniform as in torch.nn.Linear.
  bool with_bias = true;   ///< If false, y = x W^T.
};

/// y = x W^T + b with the parameters `weight` [out, in] and, unless it is switched off, `bias`
/// [out]. Unlike torch::nn::Linear it can be created on any device, including the meta device, and
/// it initializes its weights once.
class LinearImpl : public ParametrizedModule {
 public:
  explicit LinearImpl(LinearOptions options, const at::TensorOptions& tensor_options = {}) {
    const double bound = detail::default_bound(options.in_features);
    const std::int64_t shape[] = {options.out_features, options.in_features};
    weight = register_weight("weight",
                             options.weight_std
                                 ? detail::normal_tensor(shape, *options.weight_std, tensor_options)
                                 : detail::uniform_tensor(shape, bound, tensor_options));
    if (!options.with_bias) return;
    bias = register_parameter(
        "bias", options.zero_bias
                    ? at::zeros({options.out_features}, tensor_options)
                    : detail::uniform_tensor({options.out_features}, bound, tensor_options));
  }

  /// Maps [..., in] to [..., out].
  [[nodiscard]] at::Tensor forward(const at::Tensor& x) const {
    return at::linear(x, effective_weight(weight), bias);
  }

  at::Tensor weight;  ///< [out, in]
  at::Tensor bias;    ///< [out]; undefined without a bias.
};
TORCH_MODULE(Linear);

}  // namespace contrapunto
