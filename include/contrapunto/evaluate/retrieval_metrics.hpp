// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/where.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <tuple>
#include <vector>

#include "contrapunto/evaluate/rank_among.hpp"

namespace contrapunto {

/// How well each side finds the other. Ranks count from 1.
struct RetrievalMetrics {
  struct Direction {
    double recall_at_1 = 0.0;  ///< Share of queries whose (best) positive is the first, 0 to 1.
    double recall_at_5 = 0.0;
    double recall_at_10 = 0.0;
    double mean_reciprocal_rank = 0.0;  ///< Mean of 1 / rank, MRR.
    double mean_rank = 0.0;
    double median_rank = 0.0;  ///< Of an even count the lower whole number between the middle two.
    std::int64_t queries = 0;
  };

  Direction x_to_y;  ///< Image to text where x holds the images.
  Direction y_to_x;
};

namespace detail {

/// `rank` [Q] counts from 0, as evaluators of CLIP do before they add 1.
inline RetrievalMetrics::Direction summarise_ranks(const at::Tensor& rank) {
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

/// `ranks_of(begin, end)` for consecutive pieces of `rows` rows, joined.
inline at::Tensor in_chunks(std::int64_t rows, std::int64_t chunk,
                            const std::function<at::Tensor(std::int64_t, std::int64_t)>& ranks_of) {
  std::vector<at::Tensor> parts;
  for (std::int64_t begin = 0; begin < rows; begin += chunk)
    parts.push_back(ranks_of(begin, std::min(begin + chunk, rows)));
  return at::cat(parts);
}

}  // namespace detail

/// Retrieval both ways between `x` [N, D] and `y` [M, D] by dot product. `y_owner` int64 [M] says
/// to which row of x each row of y belongs, so an image may have several captions; each x needs at
/// least one. A y is searched for its owner, an x for the best of its ys. Of equal scores the lower
/// index comes first. Scores exist for `chunk` queries at a time, never N x M.
[[nodiscard]] inline RetrievalMetrics retrieval_metrics(const at::Tensor& x, const at::Tensor& y,
                                                        const at::Tensor& y_owner,
                                                        std::int64_t chunk = 512) {
  TORCH_CHECK(x.dim() == 2 && y.dim() == 2 && x.size(1) == y.size(1) && x.size(0) > 0,
              "retrieval_metrics: x ", x.sizes(), " and y ", y.sizes(),
              " must be [N, D] and [M, D] with the same D and N > 0");
  TORCH_CHECK(
      y_owner.dim() == 1 && y_owner.size(0) == y.size(0) && y_owner.scalar_type() == at::kLong,
      "retrieval_metrics: y_owner must be int64 [", y.size(0), "], got ", y_owner.scalar_type(),
      " ", y_owner.sizes());
  TORCH_CHECK(chunk >= 1, "retrieval_metrics: chunk must be at least 1, got ", chunk);
  const at::NoGradGuard no_grad;
  const auto owner = y_owner.to(x.device());
  TORCH_CHECK(y.size(0) > 0 && owner.min().item<std::int64_t>() >= 0 &&
                  owner.max().item<std::int64_t>() < x.size(0),
              "retrieval_metrics: y_owner must name rows of x, 0 to ", x.size(0) - 1);
  const auto owned = owner.bincount({}, x.size(0));
  TORCH_CHECK(owned.min().item<std::int64_t>() > 0, "retrieval_metrics: row ",
              owned.argmin().item<std::int64_t>(), " of x has no y; leave such rows out");

  const auto y_ranks = detail::in_chunks(y.size(0), chunk, [&](auto begin, auto end) {
    const auto scores = y.slice(0, begin, end).mm(x.t());  // [chunk, N]
    const auto column = owner.slice(0, begin, end).unsqueeze(1);
    return detail::rank_among(scores, scores.gather(1, column), column);
  });
  const auto columns = at::arange(y.size(0), owner.options());
  const auto x_ranks = detail::in_chunks(x.size(0), chunk, [&](auto begin, auto end) {
    const auto scores = x.slice(0, begin, end).mm(y.t());  // [chunk, M]
    const auto row = at::arange(begin, end, owner.options()).unsqueeze(1);
    const auto is_foreign = owner.unsqueeze(0).ne(row);
    const auto best = scores.masked_fill(is_foreign, -std::numeric_limits<double>::infinity())
                          .amax({1}, /*keepdim=*/true);
    // The first of the best, found without argmax, which may return any of several.
    const auto is_best = scores.eq(best).logical_and_(is_foreign.logical_not());
    const auto column = at::where(is_best, columns, y.size(0)).amin({1}, /*keepdim=*/true);
    return detail::rank_among(scores, best, column);
  });
  return {detail::summarise_ranks(x_ranks), detail::summarise_ranks(y_ranks)};
}

}  // namespace contrapunto
