// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "contrapunto/autograd/custom_gradient.hpp"
#include "contrapunto/distributed/ranks.hpp"

namespace contrapunto::detail {

/// A batch that is normalized by the statistics of all ranks.
struct NormalizedBatch {
  at::Tensor output;             ///< Has the dtype and memory format of the input.
  at::Tensor mean;               ///< [C], float64, the same bits on every rank.
  at::Tensor unbiased_variance;  ///< [C], float64, the same bits on every rank.
};

/// Computes batch norm in training over the batches [B_r, C, ...] of all ranks, which may be uneven
/// and may be empty on some ranks. `weight` and `bias` [C] have the dtype of the computation.
/// Gradients of x are those of the sum over ranks; gradients of weight and bias still have to be
/// summed over ranks. The backward is collective.
[[nodiscard]] inline NormalizedBatch normalize_over_ranks(const at::Tensor& x_in,
                                                          const at::Tensor& weight_in,
                                                          const at::Tensor& bias_in, double eps,
                                                          const Ranks& ranks) {
  const std::vector<at::Tensor> inputs{x_in, weight_in, bias_in};
  NormalizedBatch result;
  GradientFunction gradient;
  {
    const at::NoGradGuard no_grad;
    const auto x = x_in.detach();
    const auto weight = weight_in.detach();
    const auto dtype = weight.scalar_type();
    const auto channels = x.size(1);
    std::vector<std::int64_t> others{0}, shape(static_cast<std::size_t>(x.dim()), 1);
    for (std::int64_t d = 2; d < x.dim(); ++d) others.push_back(d);
    shape[1] = channels;
    const auto per_channel = [shape](const at::Tensor& t) { return t.view(shape); };

    // Sums of squares around each rank's own mean, combined in float64, avoid cancellation. The
    // mean of the centered values is the rounding error of that mean.
    const auto count = static_cast<double>(x.numel()) / static_cast<double>(channels);
    const auto center = x.sum(others, /*keepdim=*/false, dtype) / std::max(count, 1.0);
    auto centered = x - per_channel(center);  // In the wider dtype.
    const auto left = centered.sum(others).to(at::kDouble) / std::max(count, 1.0);
    const auto own =
        at::cat({at::full({1}, count, left.options()), center + left,
                 centered.square().sum(others).to(at::kDouble) - count * left.square()});
    const auto all = ranks.all_gather(own);  // [W, 1 + 2 C]
    const auto counts = all.narrow(1, 0, 1);
    const auto means = all.narrow(1, 1, channels);
    const auto total = counts.sum();
    result.mean = (counts * means).sum(0) / total;
    const auto squares = all.narrow(1, 1 + channels, channels).sum(0) +
                         (counts * (means - result.mean).square()).sum(0);
    result.unbiased_variance = squares / (total - 1).clamp_min(1);

    const auto inverse = (squares / total + eps).rsqrt().to(dtype);
    const auto slope = inverse * weight;
    const auto shift = (result.mean - center).to(dtype);
    at::addcmul_out(centered, per_channel(bias_in.detach() - shift * slope), centered,
                    per_channel(slope));
    result.output = centered.to(x.scalar_type());

    const auto mean = result.mean.to(dtype);
    gradient = [=, want_dx = x_in.requires_grad()](
                   const std::vector<at::Tensor>& saved,
                   const std::vector<at::Tensor>& gradients) -> std::vector<at::Tensor> {
      const auto& input = saved[0];
      const auto dy =
          gradients[0].defined() ? gradients[0].to(dtype) : at::zeros_like(input, dtype);
      const auto centered_x = input - per_channel(mean);
      const auto dbias = dy.sum(others);
      const auto dweight = (dy * centered_x).sum(others) * inverse;
      if (!want_dx) return {at::Tensor(), dweight, dbias};
      auto shared = at::cat({dbias, dweight});
      ranks.all_reduce_sum_(shared);
      shared = shared / total.to(dtype);
      // dx = slope * (dy - mean of dy - unit * mean of dy * unit), where unit is the normalized
      // input.
      const auto along = slope * inverse * shared.narrow(0, channels, channels);
      const auto constant = -slope * shared.narrow(0, 0, channels);
      auto dx = at::addcmul(per_channel(constant), dy, per_channel(slope));
      dx.addcmul_(centered_x, per_channel(along), /*value=*/-1);
      return {dx.to(input.scalar_type()), dweight, dbias};
    };
  }
  result.output = with_gradient(inputs, {result.output}, std::move(gradient)).front();
  return result;
}

}  // namespace contrapunto::detail
