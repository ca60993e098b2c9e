// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <map>
#include <utility>
#include <vector>

namespace contrapunto {

/// Scales the gradients of `parameters` so that their total L2 norm is at most `max_norm`, and
/// returns the norm before clipping: [], float32 (float64 for float64 gradients), on their device,
/// without waiting for a CUDA device. Parameters without a gradient are skipped; if none has a
/// gradient, the norm is 0. A norm of NaN makes all gradients NaN. An infinite norm makes infinite
/// gradients NaN and all others 0. Raises unless `max_norm` is above 0.
/// Reference: Pascanu et al. 2012, https://arxiv.org/abs/1211.5063
inline at::Tensor clip_grad_norm_(const std::vector<at::Tensor>& parameters, double max_norm) {
  TORCH_CHECK(max_norm > 0.0, "clip_grad_norm_: max_norm (", max_norm, ") must be above 0");
  const at::NoGradGuard no_grad;
  // The fused kernels take tensors with the same device and dtype.
  std::map<std::pair<at::Device, at::ScalarType>, std::vector<at::Tensor>,
           decltype([](const auto& a, const auto& b) {
             return std::tuple(a.first.type(), a.first.index(), a.second) <
                    std::tuple(b.first.type(), b.first.index(), b.second);
           })>
      kinds;
  auto widest = at::kFloat;
  for (const auto& parameter : parameters) {
    const auto& gradient = parameter.grad();
    if (!gradient.defined()) continue;
    kinds[{gradient.device(), gradient.scalar_type()}].push_back(gradient);
    if (gradient.scalar_type() == at::kDouble) widest = at::kDouble;
  }
  if (kinds.empty()) return at::zeros({}, at::kFloat);

  const auto device = kinds.begin()->first.first;
  std::vector<at::Tensor> norms;
  for (const auto& [_, gradients] : kinds)
    for (const auto& norm : at::_foreach_norm(gradients, 2, widest))
      norms.push_back(norm.to(device, /*non_blocking=*/true));
  const auto total = at::linalg_vector_norm(at::stack(norms));
  const auto factor = (max_norm / (total + 1e-6)).clamp_max(1.0);
  // On the CPU reading the value is free, and it avoids a pass over all gradients to multiply by 1.
  if (factor.is_cpu() && factor.item<double>() == 1.0) return total;
  for (const auto& [kind, gradients] : kinds)
    at::_foreach_mul_(gradients, factor.to(kind.first, /*non_blocking=*/true));
  return total;
}

}  // namespace contrapunto
