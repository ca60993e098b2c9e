// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ops/layer_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

#include "contrapunto/core/keeps_float32.hpp"

namespace contrapunto {

/// Layer norm over the last dimension. The statistics are float32 for all dtypes of the input and
/// the parameters (`weight` and `bias`, both [width]). The output has the dtype of the input, even
/// under autocast.
/// Reference: Ba et al. 2016, https://arxiv.org/abs/1607.06450
class LayerNormImpl : public torch::nn::Module, public KeepsFloat32 {
 public:
  explicit LayerNormImpl(std::int64_t width, double eps = 1e-5,
                         const at::TensorOptions& tensor_options = {})
      : eps_(eps) {
    weight = register_parameter("weight", at::ones({width}, tensor_options));
    bias = register_parameter("bias", at::zeros({width}, tensor_options));
  }

  /// Maps [..., width] to the same shape.
  [[nodiscard]] at::Tensor forward(const at::Tensor& x) const {
    // Autocast would widen the input, normalize it in float32 and not narrow it again, which takes
    // three passes instead of one.
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    const auto dtype = x.scalar_type();
    const bool kernel_mixes = x.is_cpu() && weight.scalar_type() == at::kFloat &&
                              (dtype == at::kBFloat16 || dtype == at::kHalf);
    if (dtype == weight.scalar_type() || kernel_mixes)
      return at::layer_norm(x, weight.sizes(), weight, bias, eps_);
    return at::layer_norm(x.to(at::kFloat), weight.sizes(), weight.to(at::kFloat),
                          bias.to(at::kFloat), eps_)
        .to(dtype);
  }

  at::Tensor weight;  ///< [width]
  at::Tensor bias;    ///< [width]

 private:
  double eps_;
};
TORCH_MODULE(LayerNorm);

}  // namespace contrapunto
