// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace contrapunto {

/// Information from a loss scaler for a step. Both are a single float32 number on the parameters'
/// device.
struct StepScaling {
  std::optional<at::Tensor> grad_scale = std::nullopt;  ///< Divisor that is applied to the
                                                        ///< gradients first.
  std::optional<at::Tensor> found_inf =
      std::nullopt;  ///< If it is not 0, the step changes nothing.
};

}  // namespace contrapunto
