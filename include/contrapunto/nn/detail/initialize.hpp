// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/TensorOptions.h>

#include <cmath>
#include <numbers>

namespace contrapunto::detail {

/// Set by SkipInitialization.
inline thread_local bool skips_initialization = false;

/// Returns a new tensor of N(0, std^2). On the meta device only the shape is created.
inline at::Tensor normal_tensor(at::IntArrayRef sizes, double std,
                                const at::TensorOptions& tensor_options) {
  if (skips_initialization) return at::empty(sizes, tensor_options);
  return at::empty(sizes, tensor_options).normal_(0.0, std);
}

/// Returns a new tensor of U(-bound, bound).
inline at::Tensor uniform_tensor(at::IntArrayRef sizes, double bound,
                                 const at::TensorOptions& tensor_options) {
  if (skips_initialization) return at::empty(sizes, tensor_options);
  return at::empty(sizes, tensor_options).uniform_(-bound, bound);
}

/// Returns a new tensor of std * z with z from N(0, 1) truncated to [-2, 2], by inversion of its
/// distribution. Its standard deviation is 0.88 std.
inline at::Tensor truncated_normal_tensor(at::IntArrayRef sizes, double std,
                                          const at::TensorOptions& tensor_options) {
  if (skips_initialization) return at::empty(sizes, tensor_options);
  const double mass = std::erf(2.0 / std::numbers::sqrt2);
  return at::empty(sizes, tensor_options)
      .uniform_(-mass, mass)
      .erfinv_()
      .mul_(std * std::numbers::sqrt2);
}

/// Returns the bound of the uniform distribution of torch.nn.Linear's and Conv2d's weights and
/// biases. It is 0 without inputs, as in torch.nn.Linear.
inline double default_bound(std::int64_t fan_in) {
  return fan_in > 0 ? 1.0 / std::sqrt(static_cast<double>(fan_in)) : 0.0;
}

}  // namespace contrapunto::detail
