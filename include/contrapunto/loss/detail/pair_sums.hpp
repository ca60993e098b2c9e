// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/loss/detail/column_blocks.hpp"
#include "contrapunto/loss/detail/tiles.hpp"

namespace contrapunto::detail {

/// Sums of exp(logit) over rows and columns, accumulated tile by tile. With `fixed` all sums use
/// the same `offset`, so that one exponential per pair serves both. Otherwise each row and column
/// keeps its running maximum.
struct ExpSums {
  bool fixed = true;
  double offset = 0.0;
  at::Tensor rows;        ///< [n]
  at::Tensor columns;     ///< [m]; undefined if columns are not requested.
  at::Tensor positives;   ///< [n], logits of the positives; undefined if not requested.
  at::Tensor row_maxima;  ///< [n], running maxima; undefined with `fixed`.
  at::Tensor column_maxima;

  /// Logarithms of the sums, in float64. The loss is their difference to the logits of the
  /// positives, which float32 would round away.
  [[nodiscard]] at::Tensor log_rows() const { return log_of(rows, row_maxima); }
  [[nodiscard]] at::Tensor log_columns() const { return log_of(columns, column_maxima); }

 private:
  [[nodiscard]] at::Tensor log_of(const at::Tensor& sums, const at::Tensor& maxima) const {
    auto logs = sums.to(at::kDouble).log();
    return fixed ? logs.add_(offset) : logs.add_(maxima);
  }
};

[[nodiscard]] inline ExpSums empty_sums(std::int64_t rows, std::int64_t columns, bool want_columns,
                                        bool fixed, double offset, const at::TensorOptions& where) {
  ExpSums sums{fixed, offset, at::zeros({rows}, where), {}, {}, {}, {}};
  if (want_columns) sums.columns = at::zeros({columns}, where);
  if (!fixed) {
    // A finite start value keeps all differences finite.
    const double lowest = -1e30;
    sums.row_maxima = at::full({rows}, lowest, where);
    if (want_columns) sums.column_maxima = at::full({columns}, lowest, where);
  }
  return sums;
}

/// Adds `exponents` [r, c] along `dim` to running sums, which are relative to the running maxima.
inline void add_to_running(const at::Tensor& exponents, std::int64_t dim, const at::Tensor& sums,
                           const at::Tensor& maxima) {
  const auto larger = at::maximum(maxima, exponents.amax(dim));
  sums.mul_((maxima - larger).exp_()).add_((exponents - larger.unsqueeze(dim)).exp_().sum(dim));
  maxima.copy_(larger);
}

/// Exponentials that the forward keeps for the backward, in the order of the tiles.
struct KeptTiles {
  double bytes_left = 0.0;
  std::vector<at::Tensor> tiles;
  std::size_t next = 0;  ///< Index of the next tile in the backward.

  /// Allocates memory for the exponentials of `tile`. Returns an undefined tensor if no memory is
  /// left. The exponentials are stored in bf16 if the gradients computed from them are bf16. The
  /// range of fp16 is too small.
  [[nodiscard]] at::Tensor place_for(const Tile& tile) {
    const bool rounded = tile.column_block.scalar_type() == at::kBFloat16;
    const auto where =
        rounded ? tile.products.options().dtype(at::kBFloat16) : tile.products.options();
    bytes_left -=
        static_cast<double>(tile.products.numel()) * static_cast<double>(where.dtype().itemsize());
    if (bytes_left < 0.0) return {};
    return tiles.emplace_back(at::empty(tile.products.sizes(), where));
  }

  /// Returns the exponentials of the next tile; undefined if they were not kept.
  [[nodiscard]] at::Tensor take() { return next < tiles.size() ? tiles[next++] : at::Tensor(); }
};

/// Adds the block y [m, D] to `sums`, whose columns are those of the block. With `upper` x and y
/// are the same tensor: only half of the tiles are computed, and `sums.rows` receives both halves.
inline void sum_exponentials(const at::Tensor& x, const at::Tensor& y, const at::Tensor& scale,
                             const PairBlock& block, const TileOptions& options, bool upper,
                             ExpSums& sums, KeptTiles* kept) {
  for_each_tile(x, y, scale, block, options, upper, [&](Tile& tile) {
    multiply(tile);
    auto& z = tile.products;
    if (sums.positives.defined() && tile.pairs.positives > 0 && !block.positive_logits.defined())
      sums.positives.narrow(0, tile.first, tile.pairs.positives).copy_(positives_of(z, tile.pairs));
    const auto rows = sums.rows.narrow(0, tile.row, tile.rows);
    if (!sums.fixed) {
      to_logits_(z, tile.scale, tile.pairs);
      exclude_(z, tile.pairs, -std::numeric_limits<double>::infinity());
      add_to_running(z, 1, rows, sums.row_maxima.narrow(0, tile.row, tile.rows));
      if (sums.columns.defined())
        add_to_running(z, 0, sums.columns.narrow(0, tile.column, tile.columns),
                       sums.column_maxima.narrow(0, tile.column, tile.columns));
      return;
    }
    // In a symmetric matrix the column sums of a tile are row sums of the mirrored tile.
    at::Tensor columns;
    if (sums.columns.defined()) columns = sums.columns.narrow(0, tile.column, tile.columns);
    if (upper && tile.column != tile.row) columns = sums.rows.narrow(0, tile.column, tile.columns);
    exp_sums_(z, tile.scale, sums.offset, tile.pairs, rows, columns,
              kept == nullptr ? at::Tensor() : kept->place_for(tile));
  });
}

/// Returns the offset for which the sum of exp(logit - offset) over `pairs` pairs cannot overflow
/// float32 while the logits are within +-`bound`. It is the smallest such offset, so that sums
/// underflow as late as possible.
[[nodiscard]] inline double safe_offset(double bound, double pairs) {
  return std::max(0.0, bound + std::log(std::max(1.0, pairs)) - 85.0);
}

/// Sums below this value have lost digits or underflowed to 0.
inline constexpr double kSmallestSum = 1e-37;

/// Counts the sums that underflowed or overflowed. NaN is not counted because it comes from the
/// features.
[[nodiscard]] inline at::Tensor broken_sums(const at::Tensor& sums) {
  return (sums < kSmallestSum).logical_or_(sums == std::numeric_limits<double>::infinity()).sum();
}

/// A matrix of logits scale * x y^T whose rows and columns are to be summed. Its y is a part of the
/// columns [m, D] of each block, so that several matrices share one exchange of blocks.
struct PairMatrix {
  at::Tensor x;            ///< [n, width]
  at::Tensor scale;        ///< []
  std::int64_t first = 0;  ///< First of the `width` columns of a block that belong to y.
  std::int64_t width = 0;
  double bound = 0.0;      ///< Upper bound on |logit| over all ranks.
  bool columns = true;     ///< Also sum over the rows.
  bool positives = false;  ///< Also return the logits of the positives.
  KeptTiles* kept = nullptr;
  /// The relation of the columns of rank `owner` to the rows of this rank.
  std::function<PairBlock(std::int64_t owner, std::int64_t columns)> block = {};

  [[nodiscard]] at::Tensor y_of(const at::Tensor& columns_block) const {
    return columns_block.size(1) == width ? columns_block : columns_block.narrow(1, first, width);
  }
};

/// Sums and log-sum-exps of a PairMatrix over the rows and columns of all ranks.
struct PairSums {
  ExpSums sums;
  at::Tensor log_rows;     ///< [n], float64
  at::Tensor log_columns;  ///< [columns of all ranks], float64; undefined if not requested.
};

/// Sums the matrices over the blocks of all ranks, each block once. A matrix whose sums underflow
/// with the common offset is summed again with running maxima. Collective.
[[nodiscard]] inline std::vector<PairSums> sum_pairs(const ColumnBlocks& blocks,
                                                     const at::Tensor& y,
                                                     const std::vector<PairMatrix>& matrices,
                                                     const TileOptions& tiles, const Ranks& ranks) {
  const auto n = matrices.front().x.size(0);
  const auto kind = sum_dtype(y);
  const auto where = at::TensorOptions(kind).device(y.device());
  const auto total = blocks.total();
  const auto pairs = static_cast<double>(std::max(total, blocks.all_rows()));
  const bool several = ranks.size() > 1;
  std::vector<PairSums> result(matrices.size());
  const auto sweep = [&](const std::vector<std::size_t>& which, bool fixed) {
    for (const auto k : which) {
      const auto& matrix = matrices[k];
      if (matrix.kept != nullptr) {
        matrix.kept->tiles.clear();
        if (!fixed) matrix.kept->bytes_left = 0.0;
      }
      auto& sums = result[k].sums;
      sums = empty_sums(n, total, matrix.columns, fixed, safe_offset(matrix.bound, pairs), where);
      if (!matrix.positives) continue;
      const auto own = matrix.block(ranks.rank(), n).positive_logits;
      sums.positives = own.defined() ? own : at::zeros({n}, where);
    }
    blocks.for_each(y, [&](std::int64_t owner, const at::Tensor& block) {
      const auto begin = blocks.begin(owner);
      for (const auto k : which) {
        const auto& matrix = matrices[k];
        auto part = result[k].sums;
        if (part.columns.defined()) part.columns = part.columns.narrow(0, begin, block.size(0));
        if (part.column_maxima.defined())
          part.column_maxima = part.column_maxima.narrow(0, begin, block.size(0));
        sum_exponentials(matrix.x, matrix.y_of(block), matrix.scale,
                         matrix.block(owner, block.size(0)), tiles, false, part, matrix.kept);
      }
    });
  };

  std::vector<std::size_t> all(matrices.size());
  for (std::size_t k = 0; k < all.size(); ++k) all[k] = k;
  sweep(all, true);
  // One sum over ranks serves the columns of all matrices and the counts of broken sums.
  std::vector<at::Tensor> shared, broken;
  const auto looks = [&](std::size_t k) {
    return matrices[k].bound > tiles.testing.safe_bound && kind == at::kFloat;
  };
  for (const auto k : all) {
    broken.push_back(looks(k) ? broken_sums(result[k].sums.rows).to(kind) : at::zeros({}, where));
    if (matrices[k].columns) shared.push_back(result[k].sums.columns);
  }
  const bool look = std::any_of(all.begin(), all.end(), looks);
  auto counts = at::stack(broken);  // [matrices]
  if (several && (look || !shared.empty())) {
    shared.push_back(counts);
    auto together = at::cat(shared);
    ranks.all_reduce_sum_(together);
    std::int64_t at = 0;
    for (const auto k : all)
      if (matrices[k].columns) {
        result[k].sums.columns = together.narrow(0, at, total);
        at += total;
      }
    counts = together.narrow(0, at, counts.size(0));
  }
  std::vector<std::size_t> again;
  if (look) {
    for (const auto k : all)
      if (looks(k) && matrices[k].columns)
        for (std::int64_t r = 0; r < ranks.size(); ++r)  // Only columns with a positive row.
          counts[static_cast<std::int64_t>(k)] +=
              broken_sums(result[k].sums.columns.narrow(0, blocks.begin(r), blocks.rows(r)));
    const auto host = counts.cpu();  // The host waits for the device once.
    for (const auto k : all)
      if (host[static_cast<std::int64_t>(k)].item<double>() > 0.0) again.push_back(k);
  }
  if (!again.empty()) sweep(again, false);
  for (const auto k : all) {
    auto& sums = result[k].sums;
    result[k].log_rows = sums.log_rows();
    if (!sums.columns.defined()) continue;
    result[k].log_columns = sums.log_columns();
    if (several && !sums.fixed)
      result[k].log_columns = ranks.all_gather(result[k].log_columns).logsumexp(0);
  }
  return result;
}

}  // namespace contrapunto::detail
