// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>

#include <cstddef>
#include <vector>

#include "contrapunto/core/state.hpp"

namespace contrapunto {

/// Returns the mean of several states of one model, a model soup. Sums are float32, or float64 for
/// float64, and the result has the dtypes of the first state. Tensors of integers are those of the
/// first. Raises for an empty list, and if names or shapes differ.
/// Reference: Wortsman et al. 2022, https://arxiv.org/abs/2203.05482
[[nodiscard]] inline TensorMap average_states(const std::vector<TensorMap>& states) {
  TORCH_CHECK(!states.empty(), "average_states: there is no state");
  TensorMap mean;
  for (const auto& [name, first] : states.front()) {
    for (std::size_t i = 1; i < states.size(); ++i) {
      const auto other = states[i].find(name);
      TORCH_CHECK(other != states[i].end() && other->second.sizes() == first.sizes() &&
                      states[i].size() == states.front().size(),
                  "average_states: state ", i + 1, " is of another model: its tensor '", name,
                  "' is missing or has another shape, or it has ", states[i].size(),
                  " tensors and not ", states.front().size());
    }
    if (!first.is_floating_point() || states.size() == 1) {
      mean.emplace(name, first);
      continue;
    }
    auto sum = first.to(c10::promoteTypes(first.scalar_type(), at::kFloat), /*non_blocking=*/false,
                        /*copy=*/true);
    for (std::size_t i = 1; i < states.size(); ++i) sum.add_(states[i].at(name));
    mean.emplace(name, sum.div_(static_cast<double>(states.size())).to(first.scalar_type()));
  }
  return mean;
}

}  // namespace contrapunto
