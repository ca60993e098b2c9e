// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_unique.h>
#include <ATen/ops/full.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <tuple>

#include "contrapunto/autograd/no_autocast.hpp"
#include "contrapunto/core/unit_rows.hpp"
#include "contrapunto/distributed/gather_rows.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/evaluate/classification_accuracy.hpp"
#include "contrapunto/evaluate/detail/rank_among.hpp"
#include "contrapunto/evaluate/labeled_features.hpp"

namespace contrapunto {

struct NearestNeighborOptions {
  std::int64_t neighbors = 200;  ///< Images of the gallery that vote; at most the whole gallery.
  double temperature = 0.07;     ///< A neighbor at cosine c votes with weight exp(c / temperature).
  std::int64_t chunk = 512;      ///< Queries whose similarities are in memory at once.
};

namespace detail {

inline void check_labeled_features(const LabeledFeatures& own, const char* name) {
  TORCH_CHECK(own.features.dim() == 2 && own.labels.dim() == 1 &&
                  own.labels.size(0) == own.features.size(0) &&
                  own.labels.scalar_type() == at::kLong,
              "nearest_neighbor_accuracy: the features of the ", name, " are ",
              own.features.sizes(), " and the labels ", own.labels.scalar_type(), " ",
              own.labels.sizes(), "; expected [N, D] and int64 [N]");
}

}  // namespace detail

/// Accuracy of a weighted vote of the nearest neighbors: how good features are without training
/// anything on top of them. Each query finds the `neighbors` rows of the gallery with the largest
/// cosine, and each votes for its class. Of classes with equal votes the one with the lower index
/// comes first; a class without a vote is not a prediction. The computation is in float32, also
/// under autocast. Similarities and votes exist for `chunk` queries at a time.
///
/// With several ranks each brings its part of the gallery, which is gathered on every rank, and
/// answers its own queries; all get the result over all queries. Collective. Raises on every rank
/// for an empty gallery and for negative labels; shapes that do not fit raise on their rank.
/// Reference: Wu et al. 2018, https://arxiv.org/abs/1805.01978, section 3.4
[[nodiscard]] inline ClassificationAccuracy nearest_neighbor_accuracy(
    const LabeledFeatures& gallery, const LabeledFeatures& queries,
    const NearestNeighborOptions& options = {}, const Ranks& ranks = {}) {
  TORCH_CHECK(options.neighbors > 0 && options.temperature > 0 && options.chunk > 0,
              "nearest_neighbor_accuracy: neighbors (", options.neighbors, "), temperature (",
              options.temperature, ") and chunk (", options.chunk, ") must be positive");
  detail::check_labeled_features(gallery, "gallery");
  detail::check_labeled_features(queries, "queries");
  const at::NoGradGuard no_grad;
  const NoAutocast no_autocast;
  std::int64_t lowest = 0;
  for (const auto& labels : {gallery.labels, queries.labels})
    if (labels.numel() > 0) lowest = std::min(lowest, labels.min().item<std::int64_t>());
  TORCH_CHECK(ranks.all_reduce_min(lowest) >= 0,
              "nearest_neighbor_accuracy: a label is negative, which means that the image has "
              "none; check_labels() names it");

  const auto device = ranks.size() > 1 ? ranks.device() : gallery.features.device();
  const auto width = -ranks.all_reduce_min(-gallery.features.size(1));
  const auto own = gallery.features.size(0) > 0
                       ? unit_rows(gallery.features).to(device, at::kFloat)
                       : at::zeros({0, width}, at::TensorOptions(at::kFloat).device(device));
  const auto known = gather_rows(ranks, own).rows;  // [N of all ranks, D]
  const auto total = known.size(0);
  TORCH_CHECK(total > 0, "nearest_neighbor_accuracy: the gallery is empty");
  // Classes are counted, not their numbers, so that a large label does not cost memory.
  const auto [classes, class_of] =
      at::_unique(gather_rows(ranks, gallery.labels.to(device)).rows, /*sorted=*/true,
                  /*return_inverse=*/true);

  const auto count = queries.features.size(0);
  TORCH_CHECK(count == 0 || queries.features.size(1) == width,
              "nearest_neighbor_accuracy: the features of the gallery are ", known.sizes(),
              " and those of the queries ", queries.features.sizes(), "; they must agree in width");
  auto counts = at::zeros({3}, classes.options());
  for (std::int64_t row = 0; row < count; row += options.chunk) {
    const auto rows = std::min(options.chunk, count - row);
    const auto asked = unit_rows(queries.features.narrow(0, row, rows)).to(device, at::kFloat);
    const auto [nearest, index] =
        at::topk(asked.mm(known.t()), std::min(options.neighbors, total), 1);
    // The largest cosine is taken off first, so that no weight overflows.
    const auto weights = ((nearest - nearest.narrow(1, 0, 1)) / options.temperature).exp();
    const auto votes = at::zeros({rows, classes.size(0)}, weights.options())
                           .scatter_add_(1, class_of.index({index}), weights);
    const auto labels = queries.labels.narrow(0, row, rows).to(device);
    const auto right =
        at::searchsorted(classes, labels).clamp_max_(classes.size(0) - 1).unsqueeze(1);
    const auto own_votes = votes.gather(1, right);
    const auto rank = detail::rank_among(votes, own_votes, right);
    const auto has_vote =
        own_votes.squeeze(1).gt(0).logical_and_(classes.index({right.squeeze(1)}).eq(labels));
    counts +=
        at::stack({rank.lt(1).logical_and_(has_vote).sum(), rank.lt(5).logical_and_(has_vote).sum(),
                   at::full({}, rows, counts.options())});
  }
  ranks.all_reduce_sum_(counts);
  const auto host = counts.cpu();
  const auto* values = host.const_data_ptr<std::int64_t>();
  if (values[2] == 0) return {};
  const auto samples = static_cast<double>(values[2]);
  return {static_cast<double>(values[0]) / samples, static_cast<double>(values[1]) / samples,
          values[2]};
}

}  // namespace contrapunto
