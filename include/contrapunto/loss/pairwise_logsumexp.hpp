// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cstdint>

#include "contrapunto/autograd/no_autocast.hpp"
#include "contrapunto/core/unit_rows.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/loss/detail/tiled_logsumexp.hpp"
#include "contrapunto/loss/tile_options.hpp"

namespace contrapunto {

struct PairwiseLogSumExpOptions {
  TileOptions tiles = {};
  bool columns = true;  ///< Also sum over the rows. Turning it off saves a third of the elementwise
                        ///< work.
  bool ring = false;    ///< See TiledInfoNceOptions::ring.
  /// Group ids of the rows, int64 [B]. Set both row_group_ids and column_group_ids, or neither. A
  /// row and a column with the same group id count only if they are a positive pair.
  at::Tensor row_group_ids = {};
  at::Tensor column_group_ids = {};  ///< Group ids of the columns, int64 [B + M].
};

/// The result of `pairwise_logsumexp`. All tensors are float64 and can be differentiated once.
struct PairwiseLogSumExp {
  at::Tensor rows;       ///< [B]: log sum_j exp(scale <x_i, y_j>) over all columns j of all ranks.
  at::Tensor columns;    ///< [B]: log sum_i exp(scale <x_i, y_j>) over all rows; may be undefined.
  at::Tensor positives;  ///< [B]: scale <x_i, y_i>.
  std::int64_t pairs = 0;  ///< Rows of all ranks, the divisor of a mean.
};

/// Computes the log-sum-exps over the matrix scale * x y^T, from which custom softmax losses over
/// pairs can be built. InfoNCE is half the sum of the means of rows - positives and columns -
/// positives. Neither the forward nor the backward materializes the matrix: the memory is O(B D) in
/// addition to the features.
///
/// `x` is [B, D]. `y` is [B + M, D]: its first B rows belong to the rows of x, and the other M are
/// additional candidates for the rows only. `scale` is a single number. The rows need not have unit
/// length. The sums are accumulated in float32 (float64 if x is float64), regardless of autocast.
///
/// With several ranks x and y are those of this rank, B and M may differ between ranks, and the
/// sums cover the columns and rows of all ranks. If the loss of this rank is its share (the sum
/// over its rows divided by `pairs`) and it returns all_reduce_value(share, ranks), then the
/// gradients summed over the ranks are those of the whole batch; see docs/guides/extending.md, "A
/// loss over ranks". The forward and the backward are collective. Raises for shapes or group ids
/// that do not fit.
[[nodiscard]] inline PairwiseLogSumExp pairwise_logsumexp(
    const at::Tensor& x, const at::Tensor& y, const at::Tensor& scale,
    const PairwiseLogSumExpOptions& options = {}, const Ranks& ranks = {}) {
  TORCH_CHECK(x.dim() == 2 && y.dim() == 2 && x.size(1) == y.size(1) && x.size(0) <= y.size(0),
              "pairwise_logsumexp: x ", x.sizes(), " and y ", y.sizes(),
              " must be [B, D] and [B + M, D]");
  TORCH_CHECK(scale.numel() == 1, "pairwise_logsumexp: scale ", scale.sizes(),
              " must be one number");
  const auto fits = [](const at::Tensor& ids, const at::Tensor& rows) {
    return ids.defined() && ids.scalar_type() == at::kLong && ids.dim() == 1 &&
           ids.size(0) == rows.size(0);
  };
  TORCH_CHECK((!options.row_group_ids.defined() && !options.column_group_ids.defined()) ||
                  (fits(options.row_group_ids, x) && fits(options.column_group_ids, y)),
              "pairwise_logsumexp: row_group_ids and column_group_ids must be int64 [", x.size(0),
              "] and [", y.size(0), "], or both be undefined");
  const NoAutocast no_autocast;
  const auto wide = at_least_float32(x);
  auto sums = detail::tiled_logsumexp(wide, y.to(wide.scalar_type()), scale.to(wide.scalar_type()),
                                      {.row_keys = options.row_group_ids,
                                       .column_keys = options.column_group_ids,
                                       .columns = options.columns,
                                       .ring = options.ring},
                                      options.tiles, ranks);
  return {sums.rows, sums.columns, sums.positives, sums.pairs};
}

}  // namespace contrapunto
