// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

#include "contrapunto/loss/detail/tile_testing.hpp"

namespace contrapunto {

/// How a loss over all pairs is cut into tiles, and in which dtype it multiplies. The cut does not
/// change the result.
struct TileOptions {
  /// Rows of a tile. 0 takes what suits the device: 512 on the CPU, 8192 on CUDA, whose matrix
  /// products want long sides.
  std::int64_t rows = 0;
  /// Columns of a tile. 0 takes 4096 on the CPU and 8192 on CUDA. A tile holds 4 bytes per pair,
  /// and 2 more with 16-bit products: on CUDA 384 MiB.
  std::int64_t columns = 0;
  /// Bytes of exponentials that the forward may leave for the backward, which then multiplies three
  /// times instead of four; 4 bytes per pair, 2 with bf16 products. Worth it where GradCache has
  /// freed the memory: at N = 65,536 all of them are 16 GiB, or 8.
  double keep_bytes = 0.0;
  /// Dtype that features are rounded to before matrix products on CUDA: float32 (TF32 if the
  /// process allows), bf16 or fp16. Logits, sums, exponentials and gradients stay float32, and so
  /// do the pairs that belong together. The CPU always multiplies in float32, float64 features
  /// always in float64.
  at::ScalarType matmul_dtype = at::kFloat;
  detail::TileTesting testing = {};  ///< For the library's own tests.
};

}  // namespace contrapunto
