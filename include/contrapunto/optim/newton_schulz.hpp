// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/baddbmm.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <c10/util/Exception.h>

namespace contrapunto {

/// Returns about the orthogonal factor U V^T of the singular value decomposition U S V^T of each of
/// `matrices`, [K, M, N], in `product_dtype`. Five steps of a quintic polynomial, of which the
/// slope at 0 is as large as possible, bring singular values above 0.003 of the Frobenius norm to
/// 0.68 up to 1.21. A norm below 1e-7 counts as 1e-7, so zeros stay 0. Reference: Jordan et al.
/// 2024, https://kellerjordan.github.io/posts/muon
[[nodiscard]] inline at::Tensor newton_schulz(const at::Tensor& matrices,
                                              at::ScalarType product_dtype = at::kBFloat16) {
  TORCH_CHECK(matrices.dim() == 3, "newton_schulz: matrices are ", matrices.sizes(),
              ", expected [matrices, rows, columns]");
  constexpr double kA = 3.4445, kB = -4.7750, kC = 2.0315;
  constexpr int kSteps = 5;
  const bool tall = matrices.size(1) > matrices.size(2);
  // The norm bounds the largest singular value, which must be at most 1. It is computed before the
  // matrix is rounded.
  const auto norms = at::linalg_vector_norm(matrices, 2, at::IntArrayRef{1, 2}, /*keepdim=*/true);
  auto x = (matrices / norms.clamp_min(1e-7)).to(product_dtype);
  if (tall) x = x.mT();
  for (int step = 0; step < kSteps; ++step) {
    const auto gram = at::bmm(x, x.mT());
    x = at::baddbmm(x, at::baddbmm(gram, gram, gram, kB, kC), x, kA, 1.0);
  }
  return tall ? x.mT() : x;
}

}  // namespace contrapunto
