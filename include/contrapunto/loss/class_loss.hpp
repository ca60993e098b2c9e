// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <string>
#include <variant>

#include "contrapunto/core/batch.hpp"
#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/loss_terms.hpp"
#include "contrapunto/loss/binary_cross_entropy.hpp"
#include "contrapunto/loss/softmax_cross_entropy.hpp"

namespace contrapunto {

struct ClassLossOptions {
  std::string kind = "softmax";  ///< "softmax" or "bce"; see the class.
  double label_smoothing = 0.0;  ///< Part of each target that is spread evenly over all classes.
  double threshold = 0.0;        ///< BinaryCrossEntropyOptions::threshold; 0: none.
  bool sum_classes = false;      ///< BinaryCrossEntropyOptions::sum_classes.
};

/// A loss over classes that is selected by name: SoftmaxCrossEntropy or BinaryCrossEntropy. Raises
/// for an unknown kind, for options out of range, and for those of "bce" in another kind.
class ClassLoss {
 public:
  static constexpr bool kSeparable = true;

  explicit ClassLoss(const ClassLossOptions& options = {}) : loss_(make(options)) {}

  [[nodiscard]] LossTerms operator()(const at::Tensor& logits, const Batch& batch) const {
    return std::visit([&](const auto& loss) { return loss(logits, batch); }, loss_);
  }

 private:
  using Any = std::variant<SoftmaxCrossEntropy, BinaryCrossEntropy>;

  static Any make(const ClassLossOptions& o) {
    TORCH_CHECK(o.kind == "softmax" || o.kind == "bce", "ClassLoss: there is no kind \"", o.kind,
                "\"; choose softmax or bce");
    if (o.kind == "bce") {
      BinaryCrossEntropyOptions options{.label_smoothing = o.label_smoothing,
                                        .sum_classes = o.sum_classes};
      if (o.threshold != 0.0) options.threshold = o.threshold;
      return BinaryCrossEntropy(options);
    }
    TORCH_CHECK(o.threshold == 0.0 && !o.sum_classes, "ClassLoss: threshold (", o.threshold,
                ") and sum_classes (", o.sum_classes, ") are options of bce, but the kind is \"",
                o.kind, "\"");
    return SoftmaxCrossEntropy({.label_smoothing = o.label_smoothing});
  }

  Any loss_;
};
static_assert(LossOf<ClassLoss, at::Tensor> && SeparableLoss<ClassLoss>);

}  // namespace contrapunto
