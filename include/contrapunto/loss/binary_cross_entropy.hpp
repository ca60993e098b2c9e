// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/ones_like.h>
#include <c10/util/Exception.h>

#include <cmath>
#include <cstdint>
#include <optional>

#include "contrapunto/autograd/no_autocast.hpp"
#include "contrapunto/core/batch.hpp"
#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/loss_terms.hpp"
#include "contrapunto/core/unit_rows.hpp"
#include "contrapunto/loss/detail/class_targets.hpp"

namespace contrapunto {

struct BinaryCrossEntropyOptions {
  /// Part of each target that is spread evenly over all classes, from 0 to below 1.
  double label_smoothing = 0.0;
  /// If set, a target above it becomes 1 and any other 0: mixed samples may belong to two classes.
  std::optional<double> threshold = std::nullopt;
  /// Sum over the classes, as in big_vision, instead of their mean, as in DeiT III and timm. The
  /// gradient is larger by the number of classes.
  bool sum_classes = false;
};

/// Binary cross-entropy of every class: each logit [B, C] alone says whether a sample belongs to
/// its class. The batch holds the classes of the samples; see core/mixed_label_names.hpp. It is a
/// mean over samples. The logits and the result [] are float32 regardless of autocast (float64 for
/// float64 logits). The part "top1" is that of SoftmaxCrossEntropy. It raises as that loss does.
/// Reference: Wightman et al. 2021, https://arxiv.org/abs/2110.00476
class BinaryCrossEntropy {
 public:
  static constexpr bool kSeparable = true;

  /// Raises if an option is out of range.
  explicit BinaryCrossEntropy(BinaryCrossEntropyOptions options = {}) : o_(options) {
    static_cast<void>(detail::checked_smoothing(o_.label_smoothing, "BinaryCrossEntropy"));
    TORCH_CHECK(!o_.threshold || (0.0 <= *o_.threshold && *o_.threshold < 1.0),
                "BinaryCrossEntropy: threshold (", o_.threshold.value_or(0.0),
                ") must be at least 0 and below 1");
  }

  [[nodiscard]] LossTerms operator()(const at::Tensor& logits, const Batch& batch) const {
    const NoAutocast no_autocast;
    const auto wide = at_least_float32(logits);
    const detail::ClassTargets targets(wide, batch, "BinaryCrossEntropy");
    const auto mean = at::binary_cross_entropy_with_logits(wide, values(wide, targets));
    const auto classes = static_cast<double>(wide.size(1));
    return {o_.sum_classes ? mean * classes : mean, {{"top1", targets.top1(wide)}}};
  }

 private:
  /// The targets [B, C] of all classes.
  [[nodiscard]] at::Tensor values(const at::Tensor& logits,
                                  const detail::ClassTargets& targets) const {
    const double spread = o_.label_smoothing / static_cast<double>(logits.size(1));
    auto values = at::full_like(logits.detach(), spread);
    const auto share =
        targets.plain() ? at::ones_like(targets.label, logits.scalar_type()) : targets.weight;
    const auto add = [&](const at::Tensor& label, const at::Tensor& part) {
      values.scatter_add_(1, label.unsqueeze(1), (part * (1.0 - o_.label_smoothing)).unsqueeze(1));
    };
    add(targets.label, share);
    if (!targets.plain()) add(targets.mixed_label, 1 - share);
    return o_.threshold ? values.gt(*o_.threshold).to(values.scalar_type()) : values;
  }

  BinaryCrossEntropyOptions o_;
};
static_assert(LossOf<BinaryCrossEntropy, at::Tensor> && SeparableLoss<BinaryCrossEntropy>);

}  // namespace contrapunto
