// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/core/concepts.hpp"

namespace contrapunto {

/// Fails to compile with one readable message if `Loss` does not take `Inputs`. Templates that take
/// a loss call it first in their constructor.
template <class Loss, class Inputs = Embeddings>
consteval void check_loss() {
  static_assert(
      LossOf<Loss, Inputs>,
      "Loss must be callable as `Tensor loss(const Inputs&) const` or `Tensor loss(const "
      "Inputs&, const Batch&) const`, or return LossTerms; Inputs is what the head of "
      "the StepModel returns, Embeddings from pair_step_model(); see docs/guides/extending.md, "
      "Losses");
}

/// The same for a type that is not a Schedule.
template <class S>
consteval void check_schedule() {
  static_assert(Schedule<S>,
                "Schedule must be callable as `double schedule(std::int64_t step) const`; see "
                "docs/guides/extending.md, Schedules");
}

}  // namespace contrapunto
