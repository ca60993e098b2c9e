// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/grad_mode.h>
#include <torch/nn/module.h>

#include <string>

#include "contrapunto/precision/detail/compat.hpp"
#include "contrapunto/precision/precision_policy.hpp"

namespace contrapunto {

/// Makes `module` and this process ready for `policy`, before the optimiser is made. Weights and
/// floating-point buffers are cast to `weight_dtype`, gradients dropped; these stay as they are:
/// - everything in a module whose class name contains "Norm": 8 bits are too few for running
///   statistics, and their weights cost nothing;
/// - single numbers, such as the logarithm of the scale.
/// Sets TF32 for the whole process, also to off.
inline void apply_precision_(torch::nn::Module& module, const PrecisionPolicy& policy) {
  detail::set_tf32(policy.allow_tf32);
  if (policy.weight_dtype == at::kFloat) return;
  const at::NoGradGuard no_grad;
  const auto cast = [&](at::Tensor tensor) {
    if (!tensor.defined() || !tensor.is_floating_point() || tensor.dim() == 0) return;
    tensor.mutable_grad().reset();
    tensor.set_data(tensor.to(policy.weight_dtype));
  };
  module.apply([&](torch::nn::Module& part) {
    if (part.name().find("Norm") != std::string::npos) return;
    for (const auto& tensor : part.parameters(/*recurse=*/false)) cast(tensor);
    for (const auto& tensor : part.buffers(/*recurse=*/false)) cast(tensor);
  });
}

}  // namespace contrapunto
