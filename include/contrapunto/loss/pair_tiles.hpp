// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <limits>

namespace contrapunto {

/// How a loss over all pairs is cut into tiles. The result does not depend on it.
struct TileOptions {
  std::int64_t rows = 512;      ///< Rows of a tile.
  std::int64_t columns = 4096;  ///< Columns of a tile: one holds 4 * rows * columns bytes.
  /// Bytes of exponentials that the forward may leave for the backward, which then multiplies three
  /// times instead of four. Worth it where GradCache has freed the memory: at N = 65,536 all of
  /// them are 16 GiB.
  double keep_bytes = 0.0;
  /// Bound on |logit| up to which a row or column cannot underflow; above it the sums are looked
  /// at, for which the host waits. Tests set it; there is no other reason to.
  double safe_bound = 80.0;
};

namespace detail {

/// What a block of columns is to the rows: where its positives are, and which pairs do not count.
struct PairBlock {
  static constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::min() / 4;

  std::int64_t positive = kNone;  ///< Row i belongs to column i + positive; kNone: none does.
  bool drop_positive = false;     ///< Those pairs do not count: each row's own copy.
  at::Tensor row_keys = {};       ///< int64 [n]; pairs of one key count only as positives.
  at::Tensor column_keys = {};    ///< int64 [m]; both or none.
};

/// float32, or float64 where the features are.
[[nodiscard]] inline at::ScalarType sum_dtype(const at::Tensor& features) {
  return features.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

/// A rectangle of pairs, and the memory its logits are in.
struct Tile {
  std::int64_t row, rows, column, columns;
  at::Tensor logits;  ///< [rows, columns], scale * x y^T in float32; the visitor may overwrite.
  at::Tensor scaled_rows;   ///< [rows, D], scale * x.
  at::Tensor column_block;  ///< [columns, D], y in the dtype of the products.
  std::int64_t diagonal;    ///< Where the positives lie, for `Tensor::diagonal`.
  std::int64_t first;  ///< Row of the first of them within the block; with `positives` of 0: none.
  std::int64_t positives;  ///< How many there are.
};

/// Calls `visit(tile)` for all tiles of x [n, D] against y [m, D], strip of rows after strip. With
/// `upper`, for those only that touch or lie above the diagonal: x and y are one.
template <class Visit>
void for_each_tile(const at::Tensor& x, const at::Tensor& y, const at::Tensor& scale,
                   const PairBlock& block, const TileOptions& options, bool upper,
                   const Visit& visit) {
  TORCH_CHECK(options.rows > 0 && options.columns > 0, "TileOptions: rows (", options.rows,
              ") and columns (", options.columns, ") must be positive");
  const auto n = x.size(0);
  const auto m = y.size(0);
  if (n == 0 || m == 0) return;
  const auto kind = sum_dtype(x);
  const auto height = std::min(options.rows, n);
  const auto width = std::min(upper ? options.rows : options.columns, m);
  const auto workspace = at::empty({height * width}, x.options().dtype(kind).requires_grad(false));
  const auto factor = scale.to(kind);
  for (std::int64_t i = 0; i < n; i += height) {
    Tile tile{};
    tile.row = i;
    tile.rows = std::min(height, n - i);
    tile.scaled_rows = x.narrow(0, i, tile.rows).to(kind) * factor;
    for (std::int64_t j = upper ? i : 0; j < m; j += width) {
      tile.column = j;
      tile.columns = std::min(width, m - j);
      tile.column_block = y.narrow(0, j, tile.columns).to(kind);
      tile.logits =
          workspace.narrow(0, 0, tile.rows * tile.columns).view({tile.rows, tile.columns});
      const auto offset = i + block.positive - j;
      tile.diagonal = offset;
      const auto start = std::max<std::int64_t>(0, -offset);
      tile.positives =
          block.positive == PairBlock::kNone
              ? 0
              : std::max<std::int64_t>(0, std::min(tile.rows, tile.columns - offset) - start);
      tile.first = i + start;
      visit(tile);
    }
  }
}

/// Fills in the logits of a tile.
inline void multiply(Tile& tile) {
  at::mm_out(tile.logits, tile.scaled_rows, tile.column_block.t());
}

/// The entries of the positives of a tile, a view.
[[nodiscard]] inline at::Tensor positives_of(const at::Tensor& values, const Tile& tile) {
  return values.diagonal(tile.diagonal);
}

/// Writes `value` where a pair of the tile does not count.
inline void exclude(at::Tensor& values, const Tile& tile, const PairBlock& block, double value) {
  if (block.row_keys.defined()) {
    auto same = block.row_keys.narrow(0, tile.row, tile.rows).unsqueeze(1) ==
                block.column_keys.narrow(0, tile.column, tile.columns).unsqueeze(0);
    if (tile.positives > 0) positives_of(same, tile).fill_(false);
    values.masked_fill_(same, value);
  }
  if (block.drop_positive && tile.positives > 0) positives_of(values, tile).fill_(value);
}

}  // namespace detail
}  // namespace contrapunto
