// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <cstdint>

#include "contrapunto/autograd/no_autocast.hpp"
#include "contrapunto/core/unit_rows.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/evaluate/classification_accuracy.hpp"
#include "contrapunto/evaluate/detail/rank_among.hpp"

namespace contrapunto {

/// Counts over batches how often the correct class ranks first or among the first five. Among
/// classes with equal scores the one with the lower index comes first. Scores are computed in at
/// least float32, also under autocast: in bf16 many of them would be equal.
class ZeroShotAccuracy {
 public:
  /// Adds a batch. `image_features` [B, D] and `classifier` [C, D] (of `zero_shot_classifier`) must
  /// have the same device and dtype, and `labels` must be int64 [B] in [0, C). Raises for shapes
  /// that do not fit, and for labels out of range if they are on the CPU. It does not synchronize
  /// with the device.
  void add(const at::Tensor& image_features, const at::Tensor& labels,
           const at::Tensor& classifier) {
    TORCH_CHECK(image_features.dim() == 2 && classifier.dim() == 2 &&
                    image_features.size(1) == classifier.size(1),
                "ZeroShotAccuracy: image features ", image_features.sizes(), " and classifier ",
                classifier.sizes(), " must be [B, D] and [C, D] with the same D");
    TORCH_CHECK(labels.dim() == 1 && labels.size(0) == image_features.size(0) &&
                    labels.scalar_type() == at::kLong,
                "ZeroShotAccuracy: labels must be int64 [", image_features.size(0), "], got ",
                labels.scalar_type(), " ", labels.sizes());
    if (labels.is_cpu() && labels.numel() > 0) {
      const auto low = labels.min().item<std::int64_t>();
      const auto high = labels.max().item<std::int64_t>();
      TORCH_CHECK(low >= 0 && high < classifier.size(0), "ZeroShotAccuracy: the labels range from ",
                  low, " to ", high, ", but the classifier has ", classifier.size(0),
                  " classes; -1 is a sample without a label. check_labels() names the sample");
    }
    const at::NoGradGuard no_grad;
    const NoAutocast no_autocast;
    const auto scores = at_least_float32(image_features).mm(at_least_float32(classifier).t());
    const auto column = labels.to(scores.device()).unsqueeze(1);
    const auto rank = detail::rank_among(scores, scores.gather(1, column), column);
    const auto first = rank.lt(1).sum();
    const auto five = rank.lt(5).sum();
    first_ = first_.defined() ? first_ + first : first;
    five_ = five_.defined() ? five_ + five : five;
    samples_ += labels.size(0);
  }

  /// Returns the accuracy over all batches so far, including those of the other `ranks`, which may
  /// have different numbers of batches. It is the same on every rank, and 0 if there was no batch.
  /// It synchronizes with the device. Collective.
  [[nodiscard]] ClassificationAccuracy result(const Ranks& ranks = {}) const {
    auto all = counts();
    if (ranks.size() > 1) all = all.to(ranks.device());
    ranks.all_reduce_sum_(all);
    return of(all);
  }

 private:
  // Counts of first ranks, ranks among the first five, and samples: int64 [3].
  [[nodiscard]] at::Tensor counts() const {
    if (!first_.defined()) return at::zeros({3}, at::kLong);
    return at::stack({first_, five_, at::full({}, samples_, first_.options())});
  }

  [[nodiscard]] static ClassificationAccuracy of(const at::Tensor& counts) {
    const auto host = counts.cpu();
    const auto* values = host.const_data_ptr<std::int64_t>();
    if (values[2] == 0) return {};
    const auto total = static_cast<double>(values[2]);
    return {static_cast<double>(values[0]) / total, static_cast<double>(values[1]) / total,
            values[2]};
  }

  at::Tensor first_;  // [], int64, on the device of the features.
  at::Tensor five_;
  std::int64_t samples_ = 0;
};

}  // namespace contrapunto
