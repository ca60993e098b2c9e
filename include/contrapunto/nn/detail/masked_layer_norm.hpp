// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addcmul.h>

#include <vector>

#include "contrapunto/autograd/custom_gradient.hpp"

namespace contrapunto::detail {

/// Layer norm over the units of `x` [N, width] whose mask is not 0: normalizes mask * x by the mean
/// and the variance of these units alone. The other units of the result are 0. `mask`, `weight` and
/// `bias` are [width] and have the dtype of the computation; the result has the dtype of `x`. With
/// `masks_output` the result is multiplied by the mask too. The gradient of the mask leaves out
/// that a unit appears or disappears. At least one unit must be left.
[[nodiscard]] inline at::Tensor masked_layer_norm(const at::Tensor& x, const at::Tensor& mask,
                                                  const at::Tensor& weight, const at::Tensor& bias,
                                                  double eps, bool masks_output) {
  const std::vector<at::Tensor> inputs{x, mask, weight, bias};
  const auto dtype = mask.scalar_type();

  /// (mask * x - mean) / deviation for the units that are left, and 0 for the others.
  struct Normalized {
    at::Tensor unit;     // [N, width]
    at::Tensor inverse;  // [N, 1], 1 / deviation
    at::Tensor kept;     // [width], 1 or 0
    at::Tensor count;    // []
  };
  const auto normalize = [dtype, eps](const at::Tensor& input, const at::Tensor& z) {
    Normalized n;
    n.kept = z.ne(0).to(dtype);
    n.count = n.kept.sum();
    auto centered = input.to(dtype) * z;
    centered.sub_(centered.sum(1, /*keepdim=*/true) / n.count).mul_(n.kept);
    n.inverse = (centered.square().sum(1, /*keepdim=*/true) / n.count + eps).rsqrt();
    n.unit = centered.mul_(n.inverse);
    return n;
  };

  at::Tensor output;
  {
    const at::NoGradGuard no_grad;
    const auto n = normalize(x, mask);
    output = at::addcmul(bias * n.kept, n.unit, weight);
    if (masks_output) output.mul_(mask);
    output = output.to(x.scalar_type());
  }
  // The backward normalizes again, so that nothing but the input is kept.
  return with_gradient(
             inputs, {output},
             [normalize, dtype, masks_output](const std::vector<at::Tensor>& saved,
                                              const std::vector<at::Tensor>& gradients) {
               std::vector<at::Tensor> result(4);
               if (!gradients[0].defined()) return result;
               const auto &input = saved[0], &z = saved[1], &slope = saved[2], &shift = saved[3];
               const auto n = normalize(input, z);
               auto dy = gradients[0].to(dtype);  // Of the result before the output mask.
               at::Tensor dz;
               if (masks_output) {
                 dz = (dy * at::addcmul(shift * n.kept, n.unit, slope)).sum(0);
                 dy = dy * z;
               }
               dy = dy * n.kept;
               result[2] = (dy * n.unit).sum(0);
               result[3] = dy.sum(0);
               dy = dy * slope;
               auto du = dy - dy.sum(1, /*keepdim=*/true) / n.count;
               du.addcmul_(n.unit, (dy * n.unit).sum(1, /*keepdim=*/true) / n.count, /*value=*/-1);
               du.mul_(n.inverse).mul_(n.kept);  // Of mask * x.
               const auto own = (du * input).sum(0);
               result[1] = dz.defined() ? dz + own : own;
               result[0] = du.mul_(z).to(input.scalar_type());
               return result;
             })
      .front();
}

}  // namespace contrapunto::detail
