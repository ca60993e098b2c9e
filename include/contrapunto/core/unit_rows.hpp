// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/linalg_vector_norm.h>

namespace contrapunto {

/// Returns `tensor` in float32; float64 is not changed.
[[nodiscard]] inline at::Tensor at_least_float32(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kDouble ? tensor : tensor.to(at::kFloat);
}

/// Returns the rows of `x` [..., D] normalized to unit length, in at least float32. A row of zeros
/// stays zero.
[[nodiscard]] inline at::Tensor unit_rows(const at::Tensor& x) {
  const auto wide = at_least_float32(x);
  return wide / at::linalg_vector_norm(wide, 2, {-1}, /*keepdim=*/true).clamp_min(1e-12);
}

}  // namespace contrapunto
