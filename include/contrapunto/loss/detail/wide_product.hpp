// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>
#if __has_include(<torch/headeronly/version.h>)
#include <torch/headeronly/version.h>
#else
#include <torch/version.h>
#endif

namespace contrapunto::detail {

/// Returns whether LibTorch itself multiplies these factors into a float32 result, as for 16-bit
/// factors on CUDA.
[[nodiscard]] inline bool multiplies_wide(const at::Tensor& out, const at::Tensor& factor) {
  return factor.is_cuda() && out.scalar_type() != factor.scalar_type();
}

/// Computes out = a b. 16-bit factors are multiplied and accumulated in the float32 of `out`.
inline void wide_mm_out(at::Tensor& out, const at::Tensor& a, const at::Tensor& b) {
  const auto kind = out.scalar_type();
  if (multiplies_wide(out, a))
    at::mm_out(out, a, b, kind);
  else
    at::mm_out(out, a.to(kind), b.to(kind));
}

/// Computes sum += a b in the same way.
inline void add_wide_mm_(at::Tensor sum, const at::Tensor& a, const at::Tensor& b) {
  const auto kind = sum.scalar_type();
  if (!multiplies_wide(sum, a)) {
    sum.addmm_(a.to(kind), b.to(kind));
    return;
  }
#if TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MINOR >= 11
  // Earlier versions require the sum to have the dtype of the factors. LibTorch treats a single row
  // as a bias of that dtype.
  if (sum.size(0) > 1) {
    at::addmm_out(sum, sum, a, b, kind);
    return;
  }
#endif
  sum.add_(at::mm(a, b, kind));
}

}  // namespace contrapunto::detail
