// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

// The interface between the host code and the CUDA file. It does not include Torch headers, with
// which nvcc takes ten times longer.
#include <driver_types.h>

#include <cstdint>

namespace contrapunto::detail {

enum class TileElement { kNone, kFloat32, kBFloat16, kFloat16 };

// The part of a tile that one block of threads processes.
inline constexpr unsigned kTilePanel = 512;  ///< Columns.
inline constexpr unsigned kTileStrip = 128;  ///< Rows.

__host__ __device__ constexpr std::int64_t tile_panels(std::int64_t columns) {
  return (columns + kTilePanel - 1) / kTilePanel;
}
__host__ __device__ constexpr std::int64_t tile_strips(std::int64_t rows) {
  return (rows + kTileStrip - 1) / kTileStrip;
}

/// A dense tile of float32 products with its positives and excluded pairs. All pointers are to
/// device memory.
struct TileArguments {
  const float* products = nullptr;  ///< [rows, columns]
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  const float* scale = nullptr;      ///< [], logit = scale * product; null: 1.
  std::int64_t diagonal = 0;         ///< Positives are at (i, i + diagonal) if inside the tile.
  std::int64_t first = 0;            ///< Row of the first positive.
  bool drop_positives = false;       ///< Exclude the positives.
  const float* positives = nullptr;  ///< Logits of the positives; null: those of the products.
  const std::int64_t* row_keys = nullptr;     ///< [rows]; pairs with equal keys count only as
                                              ///< positives.
  const std::int64_t* column_keys = nullptr;  ///< [columns]; set both or neither.
};

struct ExpSumsArguments {
  TileArguments tile;
  float offset = 0;
  float* row_sums = nullptr;                 ///< [rows], accumulated.
  float* column_sums = nullptr;              ///< [columns], accumulated; may be null.
  void* kept = nullptr;                      ///< [rows, columns], the exponentials.
  TileElement kept_as = TileElement::kNone;  ///< kNone, kFloat32 or kBFloat16.
  float* workspace = nullptr;                ///< exp_sums_workspace(rows, columns) numbers.
};

constexpr std::int64_t exp_sums_workspace(std::int64_t rows, std::int64_t columns) {
  return tile_panels(columns) * rows + tile_strips(rows) * columns;
}

struct GradientTileArguments {
  TileArguments tile;          ///< Its products are not read if the exponentials were kept.
  const void* kept = nullptr;  ///< [rows, columns]
  TileElement kept_as = TileElement::kNone;
  float offset = 0;
  const float* row_weights = nullptr;     ///< [rows]
  const float* column_weights = nullptr;  ///< [columns]; may be null.
  void* gradient = nullptr;               ///< [rows, columns]; may be the products.
  TileElement gradient_as = TileElement::kFloat32;
  float* positive_gradients = nullptr;  ///< From the first positive on; the tile has zeros there.
};

struct SigmoidTileArguments {
  TileArguments tile;                            ///< Its `positives` include the bias.
  const float* bias = nullptr;                   ///< []
  double* loss = nullptr;                        ///< [], accumulated.
  double* bias_gradient = nullptr;               ///< [], accumulated.
  void* gradient = nullptr;                      ///< [rows, columns]; may be the products.
  TileElement gradient_as = TileElement::kNone;  ///< kNone: only the loss.
  float factor = 1;                              ///< Factor of the gradients in the tile.
  float* positive_gradients = nullptr;  ///< From the first positive on, without the factor.
  double* workspace = nullptr;          ///< sigmoid_workspace(rows, columns) numbers.
};

constexpr std::int64_t sigmoid_workspace(std::int64_t rows, std::int64_t columns) {
  return 2 * tile_panels(columns) * tile_strips(rows);
}

// Launch the kernels on `stream` and return the launch error.
cudaError_t launch_exp_sums(const ExpSumsArguments& arguments, cudaStream_t stream);
cudaError_t launch_gradient_tile(const GradientTileArguments& arguments, cudaStream_t stream);
cudaError_t launch_sigmoid_tile(const SigmoidTileArguments& arguments, cudaStream_t stream);

}  // namespace contrapunto::detail
