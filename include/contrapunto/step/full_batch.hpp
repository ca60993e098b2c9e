// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "contrapunto/core/gates.hpp"
#include "contrapunto/step/step_model.hpp"

namespace contrapunto {

/// The whole batch at once: one forward, one backward, the activations of all samples in memory.
template <class Loss>
class FullBatch {
 public:
  explicit FullBatch(StepModel model, Loss loss = {}, StepContext context = {})
      : model_(std::move(model)), loss_(std::move(loss)), context_(std::move(context)) {
    check_loss<Loss>();
    detail::check_step_model(model_, "FullBatch");
  }

  /// See StepStrategy.
  LossTerms operator()(const Batch& batch) {
    const auto terms = detail::loss_terms(model_, loss_, batch, context_);
    if (context_.sync) context_.sync.arm();
    detail::scaled(terms.total, context_).backward();
    if (context_.sync) context_.sync.finish();
    return detail::detached(terms);
  }

 private:
  StepModel model_;
  Loss loss_;
  StepContext context_;
};

}  // namespace contrapunto
