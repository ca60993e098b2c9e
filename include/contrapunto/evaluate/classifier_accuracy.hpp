// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <numeric>

#include "contrapunto/core/unit_rows.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/evaluate/class_accuracy.hpp"
#include "contrapunto/evaluate/detail/rank_among.hpp"

namespace contrapunto {

/// Counts over batches how often the class of an image ranks first or among the first five of the
/// logits of a classifier, in each class. Among classes with equal logits the one with the lower
/// index comes first.
class ClassifierAccuracy {
 public:
  /// Raises unless `classes` is positive.
  explicit ClassifierAccuracy(std::int64_t classes) : classes_(classes) {
    TORCH_CHECK(classes > 0, "ClassifierAccuracy: classes (", classes, ") must be positive");
  }

  /// Adds a batch of `logits` [B, classes] with the `labels`, int64 [B] in [0, classes). Raises for
  /// shapes that do not fit, and for labels out of range if they are on the CPU. It does not
  /// synchronize with the device.
  void add(const at::Tensor& logits, const at::Tensor& labels) {
    TORCH_CHECK(logits.dim() == 2 && logits.size(1) == classes_, "ClassifierAccuracy: logits ",
                logits.sizes(), " must be [B, ", classes_, "]");
    TORCH_CHECK(
        labels.dim() == 1 && labels.size(0) == logits.size(0) && labels.scalar_type() == at::kLong,
        "ClassifierAccuracy: labels must be int64 [", logits.size(0), "], got ",
        labels.scalar_type(), " ", labels.sizes());
    if (labels.is_cpu() && labels.numel() > 0) {
      const auto low = labels.min().item<std::int64_t>(), high = labels.max().item<std::int64_t>();
      TORCH_CHECK(low >= 0 && high < classes_, "ClassifierAccuracy: the labels range from ", low,
                  " to ", high, ", but there are ", classes_,
                  " classes; -1 is a sample without a label. check_labels() names the sample");
    }
    const at::NoGradGuard no_grad;
    const auto scores = at_least_float32(logits);
    const auto own = labels.to(scores.device());
    const auto column = own.unsqueeze(1);
    const auto rank = detail::rank_among(scores, scores.gather(1, column), column);
    if (!counts_.defined()) counts_ = at::zeros({3, classes_}, own.options());
    counts_[0].index_add_(0, own, at::ones_like(own));
    counts_[1].index_add_(0, own, rank.lt(1).to(at::kLong));
    counts_[2].index_add_(0, own, rank.lt(5).to(at::kLong));
  }

  /// Returns the accuracy over all batches so far, including those of the other `ranks`, which may
  /// have different numbers of batches. It is the same on every rank, and 0 if there was no batch.
  /// It synchronizes with the device. Collective.
  [[nodiscard]] ClassAccuracy result(const Ranks& ranks = {}) const {
    auto all = counts_.defined() ? counts_.clone() : at::zeros({3, classes_}, at::kLong);
    if (ranks.size() > 1) all = all.to(ranks.device());
    ranks.all_reduce_sum_(all);
    all = all.cpu();
    const auto* first = all.const_data_ptr<std::int64_t>();
    ClassAccuracy result{.samples_of = {first, first + classes_},
                         .right_of = {first + classes_, first + 2 * classes_}};
    const auto total = [&](std::int64_t row) {
      return std::accumulate(first + row * classes_, first + (row + 1) * classes_, std::int64_t{0});
    };
    result.all.samples = total(0);
    if (result.all.samples == 0) return result;
    result.all.top1 = static_cast<double>(total(1)) / static_cast<double>(total(0));
    result.all.top5 = static_cast<double>(total(2)) / static_cast<double>(total(0));
    return result;
  }

 private:
  std::int64_t classes_;
  at::Tensor counts_;  // int64 [3, classes]: images, right, and among the first five.
};

}  // namespace contrapunto
