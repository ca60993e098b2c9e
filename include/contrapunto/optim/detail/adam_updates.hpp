// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_addcmul.h>
#include <ATen/ops/_foreach_div.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_sqrt.h>
#include <c10/core/Scalar.h>
#include <c10/util/Exception.h>

#include <cmath>
#include <string_view>
#include <vector>

#include "contrapunto/optim/update_rule.hpp"

namespace contrapunto::detail {

/// Raises unless both decays are in [0, 1) and `eps` is at least 0.
inline void check_adam_options(std::string_view name, double beta1, double beta2, double eps) {
  TORCH_CHECK(beta1 >= 0.0 && beta1 < 1.0 && beta2 >= 0.0 && beta2 < 1.0 && eps >= 0.0, name,
              ": beta1 (", beta1, ") and beta2 (", beta2, ") must be in [0, 1), and eps (", eps,
              ") must be at least 0");
}

/// 1 - beta^step for the step of each parameter, in float64: what a mean that starts at 0 lacks.
[[nodiscard]] inline std::vector<c10::Scalar> bias_corrections(const UpdateBatch& batch,
                                                               double beta) {
  std::vector<c10::Scalar> corrections;
  for (const auto& step : batch.steps)
    corrections.emplace_back(1.0 - std::pow(beta, step.item<double>()));
  return corrections;
}

/// What Adam makes of a batch of gradients, without learning rate and weight decay.
struct AdamUpdates {
  std::vector<at::Tensor> directions;  ///< mean / (root + eps)
  std::vector<at::Tensor> roots;       ///< Square roots of the means of squared gradients.
};

/// Updates the means "exp_avg" and "exp_avg_sq" of `batch` and returns their quotient, with the
/// bias of both corrected.
[[nodiscard]] inline AdamUpdates adam_updates(const UpdateBatch& batch, double beta1, double beta2,
                                              double eps) {
  const auto& means = batch.state.at("exp_avg");
  const auto& squares = batch.state.at("exp_avg_sq");
  at::_foreach_lerp_(means, batch.gradients, 1.0 - beta1);
  at::_foreach_mul_(squares, beta2);
  at::_foreach_addcmul_(squares, batch.gradients, batch.gradients, 1.0 - beta2);
  AdamUpdates updates{at::_foreach_div(means, bias_corrections(batch, beta1)),
                      at::_foreach_div(squares, bias_corrections(batch, beta2))};
  at::_foreach_sqrt_(updates.roots);
  at::_foreach_div_(updates.directions, at::_foreach_add(updates.roots, eps));
  return updates;
}

}  // namespace contrapunto::detail
