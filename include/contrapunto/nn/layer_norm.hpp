// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ops/layer_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <c10/util/Exception.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

#include "contrapunto/core/keeps_float32.hpp"
#include "contrapunto/nn/detail/masked_layer_norm.hpp"

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
    if (unit_mask.defined())
      return detail::masked_layer_norm(x.flatten(0, -2), unit_mask, weight, bias, eps_,
                                       masks_output_)
          .view(x.sizes());
    const auto dtype = x.scalar_type();
    const bool kernel_mixes = x.is_cpu() && weight.scalar_type() == at::kFloat &&
                              (dtype == at::kBFloat16 || dtype == at::kHalf);
    if (dtype == weight.scalar_type() || kernel_mixes)
      return at::layer_norm(x, weight.sizes(), weight, bias, eps_);
    return at::layer_norm(x.to(at::kFloat), weight.sizes(), weight.to(at::kFloat),
                          bias.to(at::kFloat), eps_)
        .to(dtype);
  }

  /// From now on the norm reads `mask` * x and normalizes over the units whose mask is not 0; the
  /// others are 0 in the output. With `masks_output` the output is multiplied by the mask too.
  /// `mask` [width] becomes the parameter `unit_mask`. Raises for another shape or dtype than
  /// that of the weight, and for a second mask.
  void mask_units(const at::Tensor& mask, bool masks_output = false) {
    TORCH_CHECK(mask.sizes() == weight.sizes() && mask.scalar_type() == weight.scalar_type(),
                "LayerNorm: the mask is ", mask.scalar_type(), " ", mask.sizes(),
                " and the weight is ", weight.scalar_type(), " ", weight.sizes());
    unit_mask = register_parameter("unit_mask", mask);
    masks_output_ = masks_output;
  }

  [[nodiscard]] double eps() const { return eps_; }

  at::Tensor weight;     ///< [width]
  at::Tensor bias;       ///< [width]
  at::Tensor unit_mask;  ///< [width]; undefined without a mask.

 private:
  double eps_;
  bool masks_output_ = false;
};
TORCH_MODULE(LayerNorm);

}  // namespace contrapunto
