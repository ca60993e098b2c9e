// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>

#include "contrapunto/precision/cast_weights.hpp"
#include "contrapunto/precision/detail/compat.hpp"
#include "contrapunto/precision/precision_policy.hpp"

namespace contrapunto {

/// Prepares `module` and this process for `policy`: casts the weights with cast_weights_(), and
/// turns TF32 on or off for the whole process. Call it before the optimizer is created.
inline void apply_precision_(torch::nn::Module& module, const PrecisionPolicy& policy) {
  detail::set_tf32(policy.allow_tf32);
  cast_weights_(module, policy);
}

}  // namespace contrapunto
