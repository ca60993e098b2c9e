// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_foreach_sub.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>

#include <string>
#include <vector>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/optim/detail/adam_updates.hpp"
#include "contrapunto/optim/optimizer.hpp"
#include "contrapunto/optim/update_rule.hpp"

namespace contrapunto {

/// LAMB, for batches of tens of thousands of samples and high learning rates: the step of each
/// parameter tensor is Adam's plus its weight decay, scaled to the norm of the weights times the
/// learning rate. The scale is 1 if one of the two norms is 0, and for parameters without weight
/// decay. As in the paper, clip the norm of all gradients to 1 before the step: clip_grad_norm_.
/// Reference: You et al. 2019, https://arxiv.org/abs/1904.00962
struct LambRule {
  double beta1 = 0.9;         ///< Decay of the mean of gradients, in [0, 1).
  double beta2 = 0.999;       ///< Decay of the mean of squared gradients, in [0, 1).
  double eps = 1e-6;          ///< Added to the square root of that mean.
  bool always_adapt = false;  ///< Scale the steps of parameters without weight decay, too.

  [[nodiscard]] std::string name() const { return "LAMB"; }
  void check() const { detail::check_adam_options(name(), beta1, beta2, eps); }
  [[nodiscard]] double squares_decay() const { return beta2; }
  [[nodiscard]] std::vector<std::string> state_names(const std::string& /*name*/,
                                                     const at::Tensor& /*parameter*/) const {
    return {"exp_avg", "exp_avg_sq"};
  }

  void update(const UpdateBatch& batch) const {
    auto updates = detail::adam_updates(batch, beta1, beta2, eps).directions;
    at::_foreach_add_(updates, batch.weights, batch.weight_decay);
    if (batch.weight_decay != 0.0 || always_adapt) {
      const auto weight_norms = at::stack(at::_foreach_norm(batch.weights));  // [tensors]
      const auto update_norms = at::stack(at::_foreach_norm(updates));
      const auto ratios = at::where((weight_norms > 0).logical_and(update_norms > 0),
                                    weight_norms / update_norms, at::ones_like(weight_norms));
      at::_foreach_mul_(updates, ratios.unbind());
    }
    at::_foreach_sub_(batch.weights, updates, batch.lr);
  }
};
static_assert(UpdateRule<LambRule>);

using Lamb = Optimizer<LambRule>;
static_assert(Stateful<Lamb>);

}  // namespace contrapunto
