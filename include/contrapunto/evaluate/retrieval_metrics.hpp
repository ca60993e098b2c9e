// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/where.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "contrapunto/autograd/no_autocast.hpp"
#include "contrapunto/core/unit_rows.hpp"
#include "contrapunto/distributed/gather_rows.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/evaluate/detail/rank_among.hpp"

namespace contrapunto {

/// Retrieval quality in both directions. Ranks count from 1.
struct RetrievalMetrics {
  struct Direction {
    double recall_at_1 = 0.0;  ///< Fraction of queries whose (best) match ranks first.
    double recall_at_5 = 0.0;
    double recall_at_10 = 0.0;
    double mean_reciprocal_rank = 0.0;  ///< Mean of 1 / rank (MRR).
    double mean_rank = 0.0;
    double median_rank = 0.0;  ///< For an even count, the mean of the middle two, rounded down.
    std::int64_t queries = 0;
  };

  Direction x_to_y;  ///< Image to text if x holds the images.
  Direction y_to_x;
};

namespace detail {

/// `rank` [Q] counts from 0, as CLIP's evaluators do before they add 1.
inline RetrievalMetrics::Direction summarize_ranks(const at::Tensor& rank) {
  const auto sorted = std::get<0>(rank.sort()).cpu();
  const auto* values = sorted.const_data_ptr<std::int64_t>();
  const auto count = sorted.numel();
  const auto total = static_cast<double>(count);
  const auto recall = [&](std::int64_t k) {
    return static_cast<double>(std::lower_bound(values, values + count, k) - values) / total;
  };
  const auto middle = (values[(count - 1) / 2] + values[count / 2]) / 2;
  return {recall(1),
          recall(5),
          recall(10),
          (sorted.to(at::kDouble) + 1).reciprocal().mean().item<double>(),
          sorted.to(at::kDouble).mean().item<double>() + 1,
          static_cast<double>(middle + 1),
          count};
}

/// Concatenates `ranks_of(begin, end)` of consecutive chunks of `rows` rows.
inline at::Tensor in_chunks(std::int64_t rows, std::int64_t chunk,
                            const std::function<at::Tensor(std::int64_t, std::int64_t)>& ranks_of) {
  std::vector<at::Tensor> parts{ranks_of(0, std::min(chunk, rows))};  // Also without rows.
  for (std::int64_t begin = chunk; begin < rows; begin += chunk)
    parts.push_back(ranks_of(begin, std::min(begin + chunk, rows)));
  return at::cat(parts);
}

/// Converts owners, which are indices into each rank's own x, to indices into the rows of x of all
/// ranks. Raises for owners that do not exist and if there is no y.
inline at::Tensor global_owners(const GatheredRows& owners, const GatheredRows& x) {
  auto global = owners.rows.to(at::kCPU, /*non_blocking=*/false, /*copy=*/true);
  const bool ranks = x.sizes.size() > 1;
  const auto on_rank = [&](std::size_t r) {
    return ranks ? " (on rank " + std::to_string(r) + ")" : std::string();
  };
  std::int64_t first_x = 0, first_y = 0;
  for (std::size_t r = 0; r < x.sizes.size(); ++r) {
    auto part = global.narrow(0, first_y, owners.sizes[r]);
    TORCH_CHECK(part.numel() == 0 || (part.min().item<std::int64_t>() >= 0 &&
                                      part.max().item<std::int64_t>() < x.sizes[r]),
                "retrieval_metrics: y_owner must contain row indices of x, 0 to ", x.sizes[r] - 1,
                on_rank(r));
    part.add_(first_x);
    first_x += x.sizes[r];
    first_y += owners.sizes[r];
  }
  TORCH_CHECK(first_y > 0, "retrieval_metrics: there are no rows of y");
  return global.to(owners.rows.device());
}

/// Returns the ranks of the owners of `y` [Q, D] among all `x` [N, D]; `owner` [Q].
inline at::Tensor ranks_of_owners(const at::Tensor& y, const at::Tensor& owner, const at::Tensor& x,
                                  std::int64_t chunk) {
  return in_chunks(y.size(0), chunk, [&](auto begin, auto end) {
    const auto scores = y.slice(0, begin, end).mm(x.t());  // [chunk, N]
    const auto column = owner.slice(0, begin, end).unsqueeze(1);
    return rank_among(scores, scores.gather(1, column), column);
  });
}

/// For queries `x` [Q, D] with indices `number` [Q], each of which owns at least one y, returns the
/// rank of the best of its own ys among all `y` [M, D]. `owner` [M] is the owner of each y.
inline at::Tensor ranks_of_best(const at::Tensor& x, const at::Tensor& number, const at::Tensor& y,
                                const at::Tensor& owner, std::int64_t chunk) {
  const auto columns = at::arange(y.size(0), owner.options());
  return in_chunks(x.size(0), chunk, [&](auto begin, auto end) {
    const auto scores = x.slice(0, begin, end).mm(y.t());  // [chunk, M]
    const auto is_foreign = owner.unsqueeze(0).ne(number.slice(0, begin, end).unsqueeze(1));
    const auto best = scores.masked_fill(is_foreign, -std::numeric_limits<double>::infinity())
                          .amax({1}, /*keepdim=*/true);
    // The first of the best entries is found without argmax, which may return any of several.
    const auto is_best = scores.eq(best).logical_and_(is_foreign.logical_not());
    const auto column = at::where(is_best, columns, y.size(0)).amin({1}, /*keepdim=*/true);
    return rank_among(scores, best, column);
  });
}

}  // namespace detail

/// Computes retrieval metrics in both directions between `x` [N, D] and `y` [M, D] of all ranks by
/// dot product. `y_owner` int64 [M] is the row of this rank's x to which each row of its y belongs,
/// so an image may have several captions or none. The query of a y is for its owner among all x.
/// The query of an x with at least one y is for the best of its own ys among all y. An x without a
/// y is not a query, so `x_to_y.queries` counts only those with a y, but it remains a candidate for
/// the ys. Among equal scores the one that comes first wins, and those of rank 0 come before those
/// of rank 1. Scores are computed in at least float32, also under autocast, and for `chunk` queries
/// at a time, never for all N x M pairs.
///
/// Each rank processes its own queries against all rows, which are gathered once, so the memory is
/// O(D) per row of all ranks. N and M may differ between ranks and may be 0 on some. The result is
/// the same on every rank and equals that of one process with all rows. Collective. Raises on every
/// rank for an owner that does not exist and if there is no y; shapes that do not fit raise on
/// their rank.
[[nodiscard]] inline RetrievalMetrics retrieval_metrics(const at::Tensor& x, const at::Tensor& y,
                                                        const at::Tensor& y_owner,
                                                        const Ranks& ranks,
                                                        std::int64_t chunk = 512) {
  TORCH_CHECK(x.dim() == 2 && y.dim() == 2 && x.size(1) == y.size(1), "retrieval_metrics: x ",
              x.sizes(), " and y ", y.sizes(), " must be [N, D] and [M, D] with the same D");
  TORCH_CHECK(
      y_owner.dim() == 1 && y_owner.size(0) == y.size(0) && y_owner.scalar_type() == at::kLong,
      "retrieval_metrics: y_owner must be int64 [", y.size(0), "], got ", y_owner.scalar_type(),
      " ", y_owner.sizes());
  TORCH_CHECK(chunk >= 1, "retrieval_metrics: chunk must be at least 1, got ", chunk);
  const at::NoGradGuard no_grad;
  const NoAutocast no_autocast;
  const auto own_x = at_least_float32(x), own_y = at_least_float32(y);
  const auto all_x = gather_rows(ranks, own_x);
  const auto all_y = gather_rows(ranks, own_y);
  const auto all_owners = gather_rows(ranks, y_owner.to(x.device()));
  const auto owner = detail::global_owners(all_owners, all_x);  // [M of all ranks]
  const auto own = owner.narrow(0, all_y.offset, y.size(0));

  const auto y_ranks = detail::ranks_of_owners(own_y, own, all_x.rows, chunk);
  const auto owned = owner.bincount({}, all_x.rows.size(0)).gt(0);  // [N of all ranks]
  const auto row = owned.narrow(0, all_x.offset, x.size(0)).nonzero().squeeze(1);  // Rows with a y.
  const auto x_ranks = detail::ranks_of_best(own_x.index_select(0, row), row + all_x.offset,
                                             all_y.rows, owner, chunk);
  return {detail::summarize_ranks(gather_rows(ranks, x_ranks).rows),
          detail::summarize_ranks(gather_rows(ranks, y_ranks).rows)};
}

/// The same in one process.
[[nodiscard]] inline RetrievalMetrics retrieval_metrics(const at::Tensor& x, const at::Tensor& y,
                                                        const at::Tensor& y_owner,
                                                        std::int64_t chunk = 512) {
  return retrieval_metrics(x, y, y_owner, Ranks(), chunk);
}

}  // namespace contrapunto
