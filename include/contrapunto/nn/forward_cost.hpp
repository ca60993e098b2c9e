// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>

#include <cstdint>

namespace contrapunto {

/// Computation and memory of a forward pass, derived from shapes.
struct ForwardCost {
  double macs = 0.0;           ///< Multiply-adds of matrix products and convolutions.
  double kept_elements = 0.0;  ///< Elements that are kept for the backward pass.

  ForwardCost& operator+=(const ForwardCost& other) {
    macs += other.macs;
    kept_elements += other.kept_elements;
    return *this;
  }
};

namespace detail {

/// Estimates the cost of a module that does not report it: every matrix multiplies every token
/// once, and its result is kept.
inline ForwardCost cost_of_matrices(const torch::nn::Module& module, std::int64_t tokens) {
  ForwardCost cost;
  for (const auto& parameter : module.parameters()) {
    if (parameter.dim() < 2) continue;
    cost.macs += static_cast<double>(tokens * parameter.numel());
    cost.kept_elements += static_cast<double>(tokens * parameter.size(0));
  }
  return cost;
}

}  // namespace detail

}  // namespace contrapunto
