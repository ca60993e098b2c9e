// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/where.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <string_view>

#include "contrapunto/core/batch.hpp"
#include "contrapunto/core/mixed_label_names.hpp"

namespace contrapunto::detail {

/// Raises unless a label smoothing is from 0 to below 1.
[[nodiscard]] inline double checked_smoothing(double smoothing, std::string_view loss) {
  TORCH_CHECK(0.0 <= smoothing && smoothing < 1.0, loss, ": label_smoothing (", smoothing,
              ") must be at least 0 and below 1");
  return smoothing;
}

/// The classes of the samples of a batch, on the device of the logits.
class ClassTargets {
 public:
  /// Raises, with `loss` in the message, unless `logits` is [B, C] and the labels fit. Labels on a
  /// GPU are not read, because the host would have to wait for them.
  ClassTargets(const at::Tensor& logits, const Batch& batch, std::string_view loss) {
    TORCH_CHECK(logits.dim() == 2 && logits.size(0) > 0 && logits.size(1) > 0, loss, ": logits ",
                logits.sizes(), " must be [samples, classes], and neither may be 0");
    label = labels(kLabelName, logits, batch, loss);
    if (!batch.tensors.contains(kMixedLabelName)) return;
    mixed_label = labels(kMixedLabelName, logits, batch, loss);
    const auto& share = batch.at(kLabelWeightName);
    TORCH_CHECK(share.dim() == 1 && share.size(0) == logits.size(0) && share.is_floating_point(),
                loss, ": '", kLabelWeightName, "' is ", share.scalar_type(), " ", share.sizes(),
                ", expected floating point [", logits.size(0), "]");
    weight = share.to(logits.device(), logits.scalar_type());
  }

  /// Whether every sample belongs to one class.
  [[nodiscard]] bool plain() const { return !mixed_label.defined(); }

  /// Fraction of the samples whose largest logit is that of their class, or of the class with the
  /// larger share: [].
  [[nodiscard]] at::Tensor top1(const at::Tensor& logits) const {
    const auto main = plain() ? label : at::where(weight.ge(0.5), label, mixed_label);
    return logits.detach().argmax(1).eq(main).to(logits.scalar_type()).mean();
  }

  at::Tensor label;        ///< int64 [B]
  at::Tensor mixed_label;  ///< int64 [B]; undefined if samples are not mixed.
  at::Tensor weight;       ///< [B], share of `label`, in the dtype of the logits.

 private:
  static at::Tensor labels(const char* name, const at::Tensor& logits, const Batch& batch,
                           std::string_view loss) {
    const auto& all = batch.at(name);
    TORCH_CHECK(all.dim() == 1 && all.size(0) == logits.size(0) && all.scalar_type() == at::kLong,
                loss, ": '", name, "' is ", all.scalar_type(), " ", all.sizes(),
                ", expected int64 [", logits.size(0), "], one label for each row of the logits ",
                logits.sizes());
    if (all.is_cpu()) {
      const auto low = all.min().item<std::int64_t>(), high = all.max().item<std::int64_t>();
      TORCH_CHECK(low >= 0 && high < logits.size(1), loss, ": the labels in '", name,
                  "' range from ", low, " to ", high, ", but there are logits of ", logits.size(1),
                  " classes; -1 is a sample without a label. check_labels() names the sample");
    }
    return all.to(logits.device());
  }
};

}  // namespace contrapunto::detail
