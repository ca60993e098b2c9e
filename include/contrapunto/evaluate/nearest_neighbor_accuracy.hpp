// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <tuple>

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

/// Labeled features of all ranks; a rank without images takes part with [0, D].
[[nodiscard]] inline LabeledFeatures gather_labeled(const LabeledFeatures& own, const char* name,
                                                    const Ranks& ranks) {
  TORCH_CHECK(own.features.dim() == 2 && own.labels.dim() == 1 &&
                  own.labels.size(0) == own.features.size(0) &&
                  own.labels.scalar_type() == at::kLong,
              "nearest_neighbor_accuracy: the features of the ", name, " are ",
              own.features.sizes(), " and the labels ", own.labels.scalar_type(), " ",
              own.labels.sizes(), "; expected [N, D] and int64 [N]");
  const auto width = -ranks.all_reduce_min(-own.features.size(1));
  const auto device = ranks.size() > 1 ? ranks.device() : own.features.device();
  const auto rows = own.features.size(0) > 0
                        ? unit_rows(own.features).to(device, at::kFloat)
                        : at::zeros({0, width}, at::TensorOptions(at::kFloat).device(device));
  return {gather_rows(ranks, rows).rows, gather_rows(ranks, own.labels.to(device)).rows};
}

}  // namespace detail

/// Accuracy of a weighted vote of the nearest neighbors: how good features are without training
/// anything on top of them. Each query finds the `neighbors` rows of the gallery with the largest
/// cosine, and each votes for its class. Of classes with equal votes the one with the lower index
/// comes first. Similarities exist for `chunk` queries at a time.
///
/// With several ranks each brings its part of gallery and queries, all get the result over all of
/// them, and the whole gallery is gathered on every rank. Collective. Raises for an empty gallery,
/// for negative labels and for features of different widths.
/// Reference: Wu et al. 2018, https://arxiv.org/abs/1805.01978, section 3.4
[[nodiscard]] inline ClassificationAccuracy nearest_neighbor_accuracy(
    const LabeledFeatures& gallery, const LabeledFeatures& queries,
    const NearestNeighborOptions& options = {}, const Ranks& ranks = {}) {
  TORCH_CHECK(options.neighbors > 0 && options.temperature > 0 && options.chunk > 0,
              "nearest_neighbor_accuracy: neighbors (", options.neighbors, "), temperature (",
              options.temperature, ") and chunk (", options.chunk, ") must be positive");
  const at::NoGradGuard no_grad;
  const auto known = detail::gather_labeled(gallery, "gallery", ranks);
  const auto asked = detail::gather_labeled(queries, "queries", ranks);
  TORCH_CHECK(known.features.size(0) > 0, "nearest_neighbor_accuracy: the gallery is empty");
  if (asked.features.size(0) == 0) return {};
  TORCH_CHECK(known.features.size(1) == asked.features.size(1),
              "nearest_neighbor_accuracy: the features of the gallery are ", known.features.sizes(),
              " and those of the queries ", asked.features.sizes(), "; they must agree in width");
  TORCH_CHECK(
      known.labels.min().item<std::int64_t>() >= 0 && asked.labels.min().item<std::int64_t>() >= 0,
      "nearest_neighbor_accuracy: a label is negative, which means that the image has none; "
      "check_labels() names it");
  const auto classes =
      std::max(known.labels.max().item<std::int64_t>(), asked.labels.max().item<std::int64_t>()) +
      1;

  // Each rank answers an equal part of the queries.
  const auto total = asked.features.size(0);
  const auto begin = total * ranks.rank() / ranks.size();
  const auto end = total * (ranks.rank() + 1) / ranks.size();
  auto counts = at::zeros({2}, asked.labels.options());
  for (auto row = begin; row < end; row += options.chunk) {
    const auto rows = std::min(options.chunk, end - row);
    const auto cosines = asked.features.narrow(0, row, rows).mm(known.features.t());
    const auto [nearest, index] =
        at::topk(cosines, std::min(options.neighbors, known.features.size(0)), 1);
    // The largest cosine is taken off first, so that no weight overflows.
    const auto weights = ((nearest - nearest.narrow(1, 0, 1)) / options.temperature).exp();
    const auto votes = at::zeros({rows, classes}, weights.options())
                           .scatter_add_(1, known.labels.index({index}), weights);
    const auto right = asked.labels.narrow(0, row, rows).unsqueeze(1);
    const auto rank = detail::rank_among(votes, votes.gather(1, right), right);
    counts += at::stack({rank.lt(1).sum(), rank.lt(5).sum()});
  }
  ranks.all_reduce_sum_(counts);
  const auto host = counts.cpu();
  const auto fraction = [&](std::int64_t i) {
    return static_cast<double>(host[i].item<std::int64_t>()) / static_cast<double>(total);
  };
  return {fraction(0), fraction(1), total};
}

}  // namespace contrapunto
