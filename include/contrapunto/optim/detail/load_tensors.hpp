// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>

#include <sstream>
#include <string_view>

#include "contrapunto/core/state.hpp"

namespace contrapunto::detail {

/// Raises and lists what is missing, unexpected or of another shape unless `state` has tensors of
/// the names and shapes of `own`.
inline void check_tensors(std::string_view part, const TensorMap& own, const State& state) {
  std::ostringstream problems;
  for (const auto& [name, tensor] : own) {
    const auto given = state.tensors.find(name);
    if (given == state.tensors.end())
      problems << "\n  missing: " << name << " " << tensor.sizes();
    else if (given->second.sizes() != tensor.sizes())
      problems << "\n  other shape: " << name << " is " << tensor.sizes() << " here, "
               << given->second.sizes() << " in the state";
  }
  for (const auto& [name, tensor] : state.tensors)
    if (own.count(name) == 0) problems << "\n  unexpected: " << name << " " << tensor.sizes();
  TORCH_CHECK(problems.str().empty(), part,
              ": the state belongs to another model or to other parameter groups:", problems.str());
}

/// Copies the tensors of `state` into `own`. Raises before any change as check_tensors.
inline void load_tensors(std::string_view part, const TensorMap& own, const State& state) {
  check_tensors(part, own, state);
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : own) tensor.copy_(state.tensor(name));
}

}  // namespace contrapunto::detail
