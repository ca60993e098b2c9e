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

/// Whether LibTorch multiplies these into float32 by itself: 16-bit factors on CUDA.
[[nodiscard]] inline bool multiplies_wide(const at::Tensor& out, const at::Tensor& factor) {
  return factor.is_cuda() && out.scalar_type() != factor.scalar_type();
}

/// out = a b; factors of 16 bit are multiplied and added up in the float32 of `out`.
inline void wide_mm_out(at::Tensor& out, const at::Tensor& a, const at::Tensor& b) {
  const auto kind = out.scalar_type();
  if (multiplies_wide(out, a))
    at::mm_out(out, a, b, kind);
  else
    at::mm_out(out, a.to(kind), b.to(kind));
}

/// sum += a b, likewise.
inline void add_wide_mm_(at::Tensor sum, const at::Tensor& a, const at::Tensor& b) {
  const auto kind = sum.scalar_type();
  if (!multiplies_wide(sum, a)) {
    sum.addmm_(a.to(kind), b.to(kind));
    return;
  }
#if TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MINOR >= 11
  // Earlier ones want the dtype of the factors in the sum as well. A single row is taken for a bias
  // of that dtype.
  if (sum.size(0) > 1) {
    at::addmm_out(sum, sum, a, b, kind);
    return;
  }
#endif
  sum.add_(at::mm(a, b, kind));
}

}  // namespace contrapunto::detail
