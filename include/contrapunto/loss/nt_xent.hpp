// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_unique.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <tuple>
#include <utility>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/embeddings.hpp"
#include "contrapunto/distributed/all_reduce_value.hpp"
#include "contrapunto/distributed/gather_rows.hpp"
#include "contrapunto/distributed/gather_with_gradient.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/loss/detail/loss_inputs.hpp"
#include "contrapunto/loss/detail/tiled_logsumexp.hpp"

namespace contrapunto {

namespace detail {

/// The log-sum-exp of scale * <row, other> over all other rows of both views of all ranks.
struct ViewLogSums {
  at::Tensor rows;         ///< [2 B], float64: first the rows of x, then those of y.
  std::int64_t pairs = 0;  ///< Number of pairs of all ranks.
};

/// Computes the log-sum-exps. In one process the matrix is symmetric, and only half of its tiles
/// are computed.
[[nodiscard]] inline ViewLogSums view_log_sums(const LossInputs& in, const TileOptions& tiles,
                                               const Ranks& ranks) {
  const auto& [x, y, scale] = std::tie(in.x, in.y, in.scale);
  if (ranks.size() == 1) return {tiled_self_logsumexp(at::cat({x, y}), scale, tiles), x.size(0)};
  // A row is not its own negative, so each sample gets a key.
  const auto first = ranks.rank() << 40;
  const auto keys = at::arange(first, first + x.size(0), x.options().dtype(at::kLong));
  const LogSumExpRequest request{
      .row_keys = keys, .column_keys = at::cat({keys, keys}), .columns = false};
  const auto of_x = tiled_logsumexp(x, at::cat({y, x}), scale, request, tiles, ranks);
  const auto of_y = tiled_logsumexp(y, at::cat({x, y}), scale, request, tiles, ranks);
  return {at::cat({of_x.rows, of_y.rows}), of_x.pairs};
}

/// Mean over the 2 B rows of all ranks of log-sum minus similarity, each [2 B].
[[nodiscard]] inline at::Tensor mean_of_views(const ViewLogSums& logs, const at::Tensor& similarity,
                                              const Ranks& ranks) {
  const auto share =
      (logs.rows.sum() - similarity.to(at::kDouble).sum()) / static_cast<double>(2 * logs.pairs);
  return all_reduce_value(share, ranks);
}

}  // namespace detail

/// NT-Xent loss of two views x and y of each sample: each of the 2 B rows must find its other view
/// among the other rows of both views. The loss is the mean of the 2 B cross-entropies. The
/// similarity matrix is never materialized.
///
/// With several ranks B is the global batch size. Every rank returns the loss of the whole batch
/// and differentiates its own part, so parameter gradients must be summed over ranks. The result []
/// is float32 (float64 for float64 features). With B == 1 the value is 0. Raises for an empty batch
/// in one process, shapes that do not fit, group ids and negatives.
/// Reference: Chen et al. 2020, https://arxiv.org/abs/2002.05709
class NtXent {
 public:
  explicit NtXent(TileOptions tiles = {}, Ranks ranks = {})
      : tiles_(tiles), ranks_(std::move(ranks)) {}

  /// Returns the loss, []. Collective, as is its backward.
  [[nodiscard]] at::Tensor operator()(const Embeddings& e) const {
    const detail::LossInputs in(e, "NtXent");
    TORCH_CHECK(ranks_.size() > 1 || e.x.size(0) > 0, "NtXent: the batch is empty; x is ",
                e.x.sizes());
    TORCH_CHECK(!e.group_ids && !e.negatives,
                "NtXent takes neither group_ids nor negatives; use SupCon");
    const auto logs = detail::view_log_sums(in, tiles_, ranks_);
    const auto positives = (in.x * in.y).sum(1) * in.scale;
    return detail::mean_of_views(logs, at::cat({positives, positives}), ranks_)
        .to(in.x.scalar_type());
  }

  [[nodiscard]] const Ranks& ranks() const { return ranks_; }

 private:
  TileOptions tiles_;
  Ranks ranks_;
};
static_assert(ContrastiveLoss<NtXent>);

/// Supervised contrastive loss of two views x and y: each of the 2 B rows must find all other rows
/// of its group. The loss takes the mean over these positives outside of the logarithm and then the
/// mean over rows. Tiles and ranks work as in NtXent, which SupCon generalizes: with one group per
/// sample both give the same value. The result [] is float32 (float64 for float64 features). Raises
/// without group ids, with negatives, for an empty batch in one process and for shapes that do not
/// fit.
/// Reference: Khosla et al. 2020, https://arxiv.org/abs/2004.11362, equation 2
class SupCon {
 public:
  explicit SupCon(TileOptions tiles = {}, Ranks ranks = {})
      : tiles_(tiles), ranks_(std::move(ranks)) {}

  /// Returns the loss, []. Collective, as is its backward.
  [[nodiscard]] at::Tensor operator()(const Embeddings& e) const {
    const detail::LossInputs in(e, "SupCon");
    TORCH_CHECK(ranks_.size() > 1 || e.x.size(0) > 0, "SupCon: the batch is empty; x is ",
                e.x.sizes());
    TORCH_CHECK(
        e.group_ids && !e.negatives,
        "SupCon: set group_ids, int64 [B], to the class of each pair; it takes no negatives");
    const auto logs = detail::view_log_sums(in, tiles_, ranks_);

    // The summed similarity to all rows of a class is one product with the sum of its rows, so no
    // loop over pairs is needed.
    const auto rows = at::cat({in.x, in.y});  // [2 B, D]
    const auto all = gather_with_gradient(ranks_, rows);
    const auto keys = gather_rows(ranks_, at::cat({in.row_groups, in.row_groups})).rows;
    const auto classes = std::get<1>(at::_unique(keys, false, true));
    const auto sums = at::zeros_like(all.rows).index_add(0, classes, all.rows);
    const auto counts = classes.bincount({}, keys.size(0)).to(rows.scalar_type());
    const auto own = classes.narrow(0, all.offset, rows.size(0));
    const auto others = counts.index_select(0, own) - 1;  // Positives of each row, at least 1.
    const auto similarity = (rows * (sums.index_select(0, own) - rows)).sum(1) / others;
    return detail::mean_of_views(logs, similarity * in.scale, ranks_).to(in.x.scalar_type());
  }

  [[nodiscard]] const Ranks& ranks() const { return ranks_; }

 private:
  TileOptions tiles_;
  Ranks ranks_;
};
static_assert(ContrastiveLoss<SupCon>);

}  // namespace contrapunto
