// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

#include "contrapunto/loss/detail/tile_testing.hpp"

namespace contrapunto {

/// How a loss over all pairs is split into tiles, and the dtype of its matrix products. The tiling
/// does not change the result, apart from rounding.
struct TileOptions {
  /// Rows of a tile. 0 uses the default of the device: 512 on the CPU and 8192 on CUDA, where
  /// matrix products need long sides to be efficient.
  std::int64_t rows = 0;
  /// Columns of a tile. 0 uses 4096 on the CPU and 8192 on CUDA. A tile takes 4 bytes per pair,
  /// plus 2 with 16-bit products: 384 MiB on CUDA.
  std::int64_t columns = 0;
  /// Bytes of exponentials that the forward may keep for the backward, which then needs three
  /// matrix products instead of four. They take 4 bytes per pair, or 2 with bf16 products. It is
  /// worth it if GradCache has freed the memory: at N = 65,536 all of them take 16 GiB, or 8 GiB
  /// with bf16.
  double keep_bytes = 0.0;
  /// Dtype to which features are rounded before matrix products on CUDA: float32 (TF32 if the
  /// process allows it), bf16 or fp16. Logits, sums, exponentials and gradients stay float32, and
  /// so do the products of the positive pairs. The CPU always multiplies in float32, and float64
  /// features are always multiplied in float64.
  at::ScalarType matmul_dtype = at::kFloat;
  detail::TileTesting testing = {};  ///< For the library's own tests.
};

}  // namespace contrapunto
