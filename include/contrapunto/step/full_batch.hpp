// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "contrapunto/step/detail/step_core.hpp"
#include "contrapunto/step/step_model.hpp"

namespace contrapunto {

/// Processes the whole batch at once with one forward and one backward. The activations of all
/// samples are in memory at the same time.
template <class Loss, class Inputs = Embeddings>
class FullBatch {
 public:
  /// Raises if the model has no encoders or no head, or if the ranks of the loss and of `context`
  /// differ.
  explicit FullBatch(StepModel<Inputs> model, Loss loss = {}, StepContext context = {})
      : core_(std::move(model), std::move(loss), std::move(context), "FullBatch") {}
  template <detail::NotAStepModel Model>
  FullBatch(const Model&, const Loss& loss, const StepContext& context = {})
      : FullBatch(detail::refuse_model<Model, Inputs>(), loss, context) {}

  /// Implements StepStrategy.
  LossTerms operator()(const Batch& batch) {
    core_.begin(batch);
    return core_.whole_batch(batch);
  }

 private:
  detail::StepCore<Loss, Inputs> core_;
};

}  // namespace contrapunto
