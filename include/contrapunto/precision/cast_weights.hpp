// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/grad_mode.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/instancenorm.h>
#include <torch/nn/modules/normalization.h>

#include "contrapunto/core/keeps_float32.hpp"
#include "contrapunto/precision/precision_policy.hpp"

namespace contrapunto {

namespace detail {

/// Returns whether the own tensors of `module` stay in float32: it has the tag, or it is a norm of
/// torch::nn.
inline bool keeps_float32(const torch::nn::Module& module) {
  const auto is = [&]<class... Norm>() { return (module.as<Norm>() || ...); };
  return dynamic_cast<const KeepsFloat32*>(&module) != nullptr ||
         is.template operator()<torch::nn::BatchNorm1dImpl, torch::nn::BatchNorm2dImpl,
                                torch::nn::BatchNorm3dImpl, torch::nn::InstanceNorm1dImpl,
                                torch::nn::InstanceNorm2dImpl, torch::nn::InstanceNorm3dImpl,
                                torch::nn::LayerNormImpl, torch::nn::GroupNormImpl>();
}

}  // namespace detail

/// Casts the weights and floating-point buffers of `module` to the `weight_dtype` of `policy`, and
/// drops their gradients. The following tensors are not changed:
/// - the own tensors of norms (those of the library and of torch::nn, and of every module tagged
/// KeepsFloat32);
/// - scalars, such as the logarithm of the scale.
inline void cast_weights_(torch::nn::Module& module, const PrecisionPolicy& policy) {
  if (policy.weight_dtype == at::kFloat) return;
  const at::NoGradGuard no_grad;
  const auto cast = [&](const at::Tensor& tensor) {
    if (!tensor.defined() || !tensor.is_floating_point() || tensor.dim() == 0) return;
    tensor.mutable_grad().reset();
    tensor.set_data(tensor.to(policy.weight_dtype));
  };
  module.apply([&](torch::nn::Module& part) {
    if (detail::keeps_float32(part)) return;
    for (const auto& tensor : part.parameters(/*recurse=*/false)) cast(tensor);
    for (const auto& tensor : part.buffers(/*recurse=*/false)) cast(tensor);
  });
}

}  // namespace contrapunto
