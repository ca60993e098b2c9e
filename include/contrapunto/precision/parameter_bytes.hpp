// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/ScalarType.h>

#include "contrapunto/precision/precision_policy.hpp"

namespace contrapunto {

/// What a policy costs in memory, for estimates. Norms and single numbers are not told apart.
struct ParameterBytes {
  double weights = 4.0;      ///< Per parameter, the copies that autocast makes included.
  double gradients = 4.0;    ///< Per parameter.
  double optimizer = 8.0;    ///< Per parameter: AdamW's moments, and masters of 16-bit weights.
  double activations = 4.0;  ///< Per element kept for backward.
};

[[nodiscard]] inline ParameterBytes parameter_bytes(const PrecisionPolicy& policy) {
  ParameterBytes bytes;
  const bool pure = policy.weight_dtype != at::kFloat;
  if (policy.autocast_dtype) bytes.weights += 2.0;
  if (pure) {
    bytes.weights = bytes.gradients = 2.0;
    bytes.optimizer += 4.0;
  }
  if (pure || policy.autocast_dtype) bytes.activations = 2.0;
  return bytes;
}

}  // namespace contrapunto
