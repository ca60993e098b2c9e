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
  bool columns = true;  ///< Also sum over the rows; off saves a third of the elementwise work.
  bool ring = false;    ///< See TiledInfoNceOptions::ring.
  /// int64 [B] and int64 [B + M]; set both or none. A row and a column with one group id count only
  /// where they belong together.
  at::Tensor row_group_ids = {};
  at::Tensor column_group_ids = {};  ///< int64 [B + M], see above.
};

/// What `pairwise_logsumexp` returns; all float64, and differentiable once.
struct PairwiseLogSumExp {
  at::Tensor rows;       ///< [B]: log sum_j exp(scale <x_i, y_j>) over all columns j of all ranks.
  at::Tensor columns;    ///< [B]: log sum_i exp(scale <x_i, y_j>) over all rows; may be undefined.
  at::Tensor positives;  ///< [B]: scale <x_i, y_i>.
  std::int64_t pairs = 0;  ///< Rows of all ranks: what a mean divides by.
};

/// The log-sum-exps over the matrix scale * x y^T that softmax losses over pairs are made of, for
/// losses of one's own: InfoNCE is the mean of rows - positives and columns - positives. The matrix
/// is never built, in the backward neither: memory is O(B D) beside the features.
///
/// `x` is [B, D]; `y` is [B + M, D], whose first B rows belong to the rows of x and whose other M
/// are further candidates for the rows only; `scale` is one number. Rows need not have unit length.
/// Sums are float32, float64 where x is float64, whatever autocast says.
///
/// Over ranks x and y are this rank's, B and M may differ between ranks, and the sums run over the
/// columns and rows of all. Let this rank's loss be its share (sum over its rows divided by
/// `pairs`), return all_reduce_value(share, ranks), and gradients summed over the ranks are those
/// of the whole batch; see docs/guides/extending.md, "A loss over ranks". Collective, the backward
/// too.
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
