// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "contrapunto/kernels/detail/pair_tiles.hpp"
#include "contrapunto/loss/detail/wide_product.hpp"
#include "contrapunto/loss/tile_options.hpp"

namespace contrapunto::detail {

/// The relation of a block of columns to the rows: its positives and the excluded pairs.
struct PairBlock {
  static constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::min() / 4;

  std::int64_t positive = kNone;    ///< Row i belongs to column i + positive; kNone: no row does.
  bool drop_positive = false;       ///< Exclude these pairs, which are each row's own copy.
  at::Tensor row_keys = {};         ///< int64 [n]; pairs with equal keys count only as positives.
  at::Tensor column_keys = {};      ///< int64 [m]; set both or neither.
  at::Tensor positive_logits = {};  ///< [n], replaces the logits from the product; may be
                                    ///< undefined.
};

/// Returns float64 for float64 features and float32 otherwise.
[[nodiscard]] inline at::ScalarType sum_dtype(const at::Tensor& features) {
  return features.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

/// Returns whether to use the CUDA formulation: multiply unscaled features, scale the float32
/// product, and compute the positives separately. Scaling first would round 16-bit features twice,
/// and the kernel applies the scale at no cost. The CPU does not round, so it scales x (B D
/// numbers) rather than the logits (B B numbers).
[[nodiscard]] inline bool goes_the_way_of_cuda(const at::Tensor& features,
                                               const TileOptions& options) {
  return features.is_cuda() || options.testing.emulate_cuda_rounding;
}

/// Returns the dtype to which the factors of the matrix products are rounded.
[[nodiscard]] inline at::ScalarType product_dtype(const at::Tensor& features,
                                                  const TileOptions& options) {
  const auto kind = sum_dtype(features);
  return kind == at::kFloat && goes_the_way_of_cuda(features, options) ? options.matmul_dtype
                                                                       : kind;
}

/// Returns the factor by which gradients of logits, which are at most 2, are multiplied so that 16
/// bits can represent the small ones. The largest fp16 number is 65504 and the smallest is about
/// 6e-8. bf16 has the exponent range of float32.
[[nodiscard]] inline double gradient_factor(at::ScalarType products) {
  return products == at::kHalf ? 16384.0 : 1.0;
}

/// Returns <x_i, y_i> for each row, [n], in the dtype of x, without a product matrix or full copies
/// of x and y.
[[nodiscard]] inline at::Tensor row_products(const at::Tensor& x, const at::Tensor& y) {
  constexpr std::int64_t kRows = 8192;
  auto products = at::empty({x.size(0)}, x.options().requires_grad(false));
  for (std::int64_t i = 0; i < x.size(0); i += kRows) {
    const auto rows = std::min(kRows, x.size(0) - i);
    products.narrow(0, i, rows).copy_((x.narrow(0, i, rows) * y.narrow(0, i, rows)).sum(1));
  }
  return products;
}

/// A rectangle of pairs and the memory for its logits.
struct Tile {
  std::int64_t row, rows, column, columns;
  at::Tensor products;   ///< [rows, columns]; filled by `multiply`, and visitors may overwrite it.
  at::Tensor scale;      ///< logits = scale * products; if undefined, the products are the logits.
  at::Tensor row_block;  ///< [rows, D], the left factor of the product: x or scale * x.
  at::Tensor column_block;  ///< [columns, D], the right factor: y.
  TilePairs pairs;
  std::int64_t first;  ///< Row index of the first positive in this tile.
};

/// Calls `visit(tile)` for all tiles of x [n, D] against y [m, D], one strip of rows after another.
/// With `upper` x and y are the same tensor, and only the tiles on or above the diagonal are
/// visited. Raises for negative tile sizes and for an unsupported matmul_dtype.
template <class Visit>
void for_each_tile(const at::Tensor& x, const at::Tensor& y, const at::Tensor& scale,
                   const PairBlock& block, const TileOptions& options, bool upper,
                   const Visit& visit) {
  TORCH_CHECK(options.rows >= 0 && options.columns >= 0, "TileOptions: rows (", options.rows,
              ") and columns (", options.columns,
              ") must be positive, or 0 for the default of the device");
  TORCH_CHECK(options.matmul_dtype == at::kFloat || options.matmul_dtype == at::kBFloat16 ||
                  options.matmul_dtype == at::kHalf,
              "TileOptions: matmul_dtype is ", options.matmul_dtype,
              ", expected Float, BFloat16 or Half");
  const auto n = x.size(0);
  const auto m = y.size(0);
  if (n == 0 || m == 0) return;
  const auto kind = sum_dtype(x);
  const auto factor_kind = product_dtype(x, options);
  const bool late_scale = goes_the_way_of_cuda(x, options);
  const auto rows = options.rows > 0 ? options.rows : x.is_cuda() ? 8192 : 512;
  const auto columns = options.columns > 0 ? options.columns : x.is_cuda() ? 8192 : 4096;
  const auto height = std::min(rows, n);
  const auto width = std::min(upper ? rows : columns, m);
  const auto workspace = at::empty({height * width}, x.options().dtype(kind).requires_grad(false));
  const auto factor = scale.to(kind);
  const auto all_columns = late_scale ? y.to(factor_kind) : y;
  for (std::int64_t i = 0; i < n; i += height) {
    Tile tile{};
    tile.row = i;
    tile.rows = std::min(height, n - i);
    const auto strip = x.narrow(0, i, tile.rows);
    tile.row_block = late_scale ? strip.to(factor_kind) : strip.to(kind) * factor;
    if (late_scale) tile.scale = factor;
    for (std::int64_t j = upper ? i : 0; j < m; j += width) {
      tile.column = j;
      tile.columns = std::min(width, m - j);
      tile.column_block = all_columns.narrow(0, j, tile.columns).to(factor_kind);
      tile.products =
          workspace.narrow(0, 0, tile.rows * tile.columns).view({tile.rows, tile.columns});
      const auto offset = i + block.positive - j;
      const auto start = std::max<std::int64_t>(0, -offset);
      auto& pairs = tile.pairs;
      pairs.diagonal = offset;
      pairs.positives =
          block.positive == PairBlock::kNone
              ? 0
              : std::max<std::int64_t>(0, std::min(tile.rows, tile.columns - offset) - start);
      pairs.drop_positives = block.drop_positive;
      tile.first = i + start;
      pairs.positive_logits = block.positive_logits.defined() && pairs.positives > 0
                                  ? block.positive_logits.narrow(0, tile.first, pairs.positives)
                                  : at::Tensor();
      if (block.row_keys.defined()) {
        pairs.row_keys = block.row_keys.narrow(0, i, tile.rows);
        pairs.column_keys = block.column_keys.narrow(0, j, tile.columns);
      }
      visit(tile);
    }
  }
}

/// Computes the products of a tile.
inline void multiply(Tile& tile) {
  wide_mm_out(tile.products, tile.row_block, tile.column_block.t());
}

/// Allocates the gradients of the logits of tiles: in place of the products or, for 16-bit
/// products, in separate memory.
class GradientTiles {
 public:
  [[nodiscard]] at::Tensor of(const Tile& tile) {
    const auto kind = tile.column_block.scalar_type();
    if (kind == tile.products.scalar_type()) return tile.products;
    if (!workspace_.defined() || workspace_.numel() < tile.products.numel())
      workspace_ = at::empty({tile.products.numel()}, tile.products.options().dtype(kind));
    return workspace_.narrow(0, 0, tile.products.numel()).view(tile.products.sizes());
  }

 private:
  at::Tensor workspace_;
};

}  // namespace contrapunto::detail
