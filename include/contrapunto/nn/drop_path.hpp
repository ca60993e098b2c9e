// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <vector>

namespace contrapunto {

/// Returns for each of `batch` samples whether its residual branch is kept, float32 [batch]: 0 with
/// probability `rate`, otherwise 1. The branches are also divided by 1 - rate, so that their mean
/// is that without drops. It is drawn with the default generator of the device of `like`.
/// Reference: Huang et al. 2016, https://arxiv.org/abs/1603.09382
[[nodiscard]] inline at::Tensor draw_drop_path(std::int64_t batch, double rate,
                                               const at::Tensor& like) {
  return at::empty({batch}, like.options().dtype(at::kFloat).requires_grad(false))
      .bernoulli_(1.0 - rate);
}

/// Returns the rates of `layers` layers, which grow linearly from 0 to `last` in the last layer.
/// Raises unless `last` is in [0, 1).
[[nodiscard]] inline std::vector<double> drop_path_rates(std::int64_t layers, double last) {
  TORCH_CHECK(last >= 0.0 && last < 1.0, "drop_path (", last, ") must be in [0, 1)");
  std::vector<double> rates;
  for (std::int64_t i = 0; i < layers; ++i)
    rates.push_back(layers > 1 ? last * static_cast<double>(i) / static_cast<double>(layers - 1)
                               : last);
  return rates;
}

}  // namespace contrapunto
