// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_clamp_min.h>
#include <ATen/ops/_foreach_div.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_foreach_reciprocal.h>
#include <ATen/ops/_foreach_sub.h>
#include <c10/core/Scalar.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/optim/detail/adam_updates.hpp"
#include "contrapunto/optim/optimizer.hpp"
#include "contrapunto/optim/update_rule.hpp"

namespace contrapunto {

/// AdamW with update clipping: the learning rate of each parameter tensor, also for its weight
/// decay, is divided by max(1, RMS), where RMS^2 is the mean of g^2 / max(v, eps^2) over its
/// elements and v the mean of squared gradients with its bias corrected. A gradient that is much
/// larger than those before, which v does not know yet, then does not become a large step. It makes
/// loss spikes of large models rarer than clipping of the gradient norm does, and may be combined
/// with it.
/// Reference: Wortsman et al. 2023, algorithm 2, https://arxiv.org/abs/2304.13013
struct StableAdamWRule {
  double beta1 = 0.9;   ///< Decay of the mean of gradients, in [0, 1).
  double beta2 = 0.99;  ///< Decay of the mean of squared gradients, in [0, 1).
  double eps = 1e-6;    ///< Added to the square root of that mean.

  [[nodiscard]] std::string name() const { return "StableAdamW"; }
  void check() const { detail::check_adam_options(name(), beta1, beta2, eps); }
  [[nodiscard]] double squares_decay() const { return beta2; }
  [[nodiscard]] std::vector<std::string> state_names(const std::string& /*name*/,
                                                     const at::Tensor& /*parameter*/) const {
    return {"exp_avg", "exp_avg_sq"};
  }

  void update(const UpdateBatch& batch) const {
    auto [updates, roots] = detail::adam_updates(batch, beta1, beta2, eps);
    at::_foreach_add_(updates, batch.weights, batch.weight_decay);

    at::_foreach_clamp_min_(roots, eps);
    auto rates = at::_foreach_norm(at::_foreach_div(batch.gradients, roots));
    std::vector<c10::Scalar> per_root_of_size;
    for (const auto& weight : batch.weights)
      per_root_of_size.emplace_back(1.0 /
                                    std::sqrt(std::max(1.0, static_cast<double>(weight.numel()))));
    at::_foreach_mul_(rates, per_root_of_size);
    at::_foreach_clamp_min_(rates, 1.0);
    at::_foreach_reciprocal_(rates);
    at::_foreach_mul_(rates, batch.lr);
    at::_foreach_mul_(updates, rates);
    at::_foreach_sub_(batch.weights, updates);
  }
};
static_assert(UpdateRule<StableAdamWRule>);

using StableAdamW = Optimizer<StableAdamWRule>;
static_assert(Stateful<StableAdamW>);

}  // namespace contrapunto
