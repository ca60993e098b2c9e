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

/// Raises `failure` with a list of the tensors that are missing, unexpected, of another shape, or
/// integers instead of real numbers, unless `given` has the names and shapes of `own`.
inline void check_tensors(std::string_view failure, const TensorMap& own, const TensorMap& given) {
  std::ostringstream problems;
  for (const auto& [name, tensor] : own) {
    const auto found = given.find(name);
    if (found == given.end())
      problems << "\n  missing: " << name << " " << tensor.sizes();
    else if (found->second.sizes() != tensor.sizes())
      problems << "\n  other shape: " << name << " is " << tensor.sizes() << " here, "
               << found->second.sizes() << " in the state";
    else if (tensor.is_floating_point() && !found->second.is_floating_point())
      problems << "\n  other type: " << name << " is " << tensor.scalar_type() << " here, "
               << found->second.scalar_type() << " in the state";
  }
  for (const auto& [name, tensor] : given)
    if (!own.contains(name)) problems << "\n  unexpected: " << name << " " << tensor.sizes();
  TORCH_CHECK(problems.str().empty(), failure, ":", problems.str());
}

/// Copies `given` into `own`, whose tensors keep their dtype and device. Raises before any change,
/// as check_tensors does.
inline void load_tensors(std::string_view failure, const TensorMap& own, const TensorMap& given) {
  check_tensors(failure, own, given);
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : own) tensor.copy_(given.at(name));
}

}  // namespace contrapunto::detail
