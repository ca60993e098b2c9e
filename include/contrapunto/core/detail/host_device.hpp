// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Marks functions that run on the host and in CUDA kernels. Only nvcc knows these words, and the
/// headers of the host do not include CUDA's.
#ifdef __CUDACC__
#define CONTRAPUNTO_HOST_DEVICE __host__ __device__
#else
#define CONTRAPUNTO_HOST_DEVICE
#endif

namespace contrapunto::detail {

/// Returns a * b, rounded. nvcc would otherwise fuse a product with a sum that follows it, which
/// rounds once where the host rounds twice.
CONTRAPUNTO_HOST_DEVICE inline float rounded_product(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}
CONTRAPUNTO_HOST_DEVICE inline double rounded_product(double a, double b) {
#ifdef __CUDA_ARCH__
  return __dmul_rn(a, b);
#else
  return a * b;
#endif
}

}  // namespace contrapunto::detail
