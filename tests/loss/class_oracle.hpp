// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "contrapunto/core/batch.hpp"
#include "contrapunto/core/mixed_label_names.hpp"
#include "support/catch.hpp"

namespace contrapunto::test {

/// Labels of `samples` samples of `classes` classes; with `mixed`, two of them with weights, of
/// which the first sample has the same class twice.
inline Batch class_batch(std::int64_t samples, std::int64_t classes, bool mixed) {
  Batch batch;
  batch.tensors[kLabelName] = torch::randint(classes, {samples}, torch::kLong);
  if (!mixed) return batch;
  batch.tensors[kMixedLabelName] = torch::randint(classes, {samples}, torch::kLong);
  batch.tensors[kMixedLabelName][0] = batch.tensors[kLabelName][0];
  batch.tensors[kLabelWeightName] = torch::rand({samples});
  return batch;
}

/// The targets [B, C] in float64, one number at a time.
inline std::vector<std::vector<double>> class_targets_by_loops(const Batch& batch,
                                                               std::int64_t classes,
                                                               double smoothing) {
  std::vector<std::vector<double>> targets;
  for (std::int64_t i = 0; i < batch.size(); ++i) {
    auto& row = targets.emplace_back(static_cast<std::size_t>(classes),
                                     smoothing / static_cast<double>(classes));
    const auto add = [&](const char* name, double share) {
      row[static_cast<std::size_t>(batch.at(name)[i].item<std::int64_t>())] +=
          (1 - smoothing) * share;
    };
    const bool mixed = batch.tensors.contains(kMixedLabelName);
    const double share = mixed ? batch.at(kLabelWeightName)[i].item<double>() : 1.0;
    add(kLabelName, share);
    if (mixed) add(kMixedLabelName, 1.0 - share);
  }
  return targets;
}

/// Cross-entropy of the softmax.
inline double softmax_by_loops(const at::Tensor& logits, const Batch& batch, double smoothing) {
  const auto x = logits.to(torch::kDouble);
  const auto targets = class_targets_by_loops(batch, x.size(1), smoothing);
  double sum = 0.0;
  for (std::int64_t i = 0; i < x.size(0); ++i) {
    double total = 0.0;
    for (std::int64_t c = 0; c < x.size(1); ++c) total += std::exp(x[i][c].item<double>());
    for (std::int64_t c = 0; c < x.size(1); ++c)
      sum -= targets[static_cast<std::size_t>(i)][static_cast<std::size_t>(c)] *
             (x[i][c].item<double>() - std::log(total));
  }
  return sum / static_cast<double>(x.size(0));
}

/// Binary cross-entropy, summed over classes; a `threshold` below 0 is none.
inline double binary_by_loops(const at::Tensor& logits, const Batch& batch, double smoothing,
                              double threshold) {
  const auto x = logits.to(torch::kDouble);
  const auto targets = class_targets_by_loops(batch, x.size(1), smoothing);
  double sum = 0.0;
  for (std::int64_t i = 0; i < x.size(0); ++i)
    for (std::int64_t c = 0; c < x.size(1); ++c) {
      auto t = targets[static_cast<std::size_t>(i)][static_cast<std::size_t>(c)];
      if (threshold >= 0) t = t > threshold ? 1.0 : 0.0;
      const double p = 1 / (1 + std::exp(-x[i][c].item<double>()));
      sum -= t * std::log(p) + (1 - t) * std::log(1 - p);
    }
  return sum / static_cast<double>(x.size(0));
}

}  // namespace contrapunto::test
