// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "contrapunto/core/concepts.hpp"

namespace contrapunto {

/// Stops the compiler with one readable sentence when `Loss` is no ContrastiveLoss. For templates
/// that take a loss: call it first in the constructor.
template <class Loss>
consteval void check_loss() {
  static_assert(ContrastiveLoss<Loss>,
                "Loss must be callable as `Tensor loss(const Embeddings&) const`, or return "
                "LossTerms; see docs/extending.md, Losses");
}

/// The same for a type that is no Schedule.
template <class S>
consteval void check_schedule() {
  static_assert(Schedule<S>,
                "Schedule must be callable as `double schedule(std::int64_t step) const`; see "
                "docs/extending.md, Schedules");
}

}  // namespace contrapunto
