// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/log_softmax.h>

#include "contrapunto/autograd/no_autocast.hpp"
#include "contrapunto/core/batch.hpp"
#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/loss_terms.hpp"
#include "contrapunto/core/unit_rows.hpp"
#include "contrapunto/loss/detail/class_targets.hpp"

namespace contrapunto {

struct SoftmaxCrossEntropyOptions {
  /// Part of each target that is spread evenly over all classes, from 0 to below 1.
  double label_smoothing = 0.0;
};

/// Cross-entropy of the softmax of logits [B, C] with the classes of the samples, which the batch
/// holds; see core/mixed_label_names.hpp. It is a mean over samples. The logits and the result []
/// are float32 regardless of autocast (float64 for float64 logits). The part "top1" is the fraction
/// of samples whose class has the largest logit, for mixed samples the class with the larger share.
/// Raises for an empty batch, for shapes that do not fit, and for labels out of range if they are
/// on the CPU.
/// Reference: Szegedy et al. 2015, https://arxiv.org/abs/1512.00567, section 7
class SoftmaxCrossEntropy {
 public:
  static constexpr bool kSeparable = true;

  /// Raises if the label smoothing is out of range.
  explicit SoftmaxCrossEntropy(SoftmaxCrossEntropyOptions options = {})
      : smoothing_(detail::checked_smoothing(options.label_smoothing, "SoftmaxCrossEntropy")) {}

  [[nodiscard]] LossTerms operator()(const at::Tensor& logits, const Batch& batch) const {
    const NoAutocast no_autocast;
    const auto wide = at_least_float32(logits);
    const detail::ClassTargets targets(wide, batch, "SoftmaxCrossEntropy");
    const auto logs = at::log_softmax(wide, 1);  // [B, C]
    const auto log_of = [&](const at::Tensor& label) {
      return logs.gather(1, label.unsqueeze(1)).squeeze(1);  // [B]
    };
    auto own = log_of(targets.label);
    if (!targets.plain())
      own = own * targets.weight + log_of(targets.mixed_label) * (1 - targets.weight);
    auto loss = -own.mean();
    if (smoothing_ > 0.0) loss = loss * (1.0 - smoothing_) - logs.mean() * smoothing_;
    return {loss, {{"top1", targets.top1(wide)}}};
  }

 private:
  double smoothing_;
};
static_assert(LossOf<SoftmaxCrossEntropy, at::Tensor> && SeparableLoss<SoftmaxCrossEntropy>);

}  // namespace contrapunto
