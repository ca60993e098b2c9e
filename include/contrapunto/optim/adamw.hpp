// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/_foreach_sub.h>
#include <ATen/ops/_fused_adamw.h>

#include <optional>
#include <string>
#include <vector>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/optim/detail/adam_updates.hpp"
#include "contrapunto/optim/optimizer.hpp"
#include "contrapunto/optim/update_rule.hpp"

namespace contrapunto {

/// AdamW on ATen's fused kernel, with one call per batch and without host synchronization.
/// Reference: Loshchilov & Hutter 2017, https://arxiv.org/abs/1711.05101
struct AdamWRule {
  double beta1 = 0.9;    ///< Decay of the mean of gradients, in [0, 1).
  double beta2 = 0.999;  ///< Decay of the mean of squared gradients, in [0, 1).
  double eps = 1e-8;     ///< Added to the square root of that mean.

  [[nodiscard]] std::string name() const { return "AdamW"; }
  void check() const { detail::check_adam_options(name(), beta1, beta2, eps); }
  [[nodiscard]] double squares_decay() const { return beta2; }
  [[nodiscard]] bool takes_scaling() const { return true; }
  [[nodiscard]] std::vector<std::string> state_names(const std::string& /*name*/,
                                                     const at::Tensor& /*parameter*/) const {
    return {"exp_avg", "exp_avg_sq"};
  }

  void update(const UpdateBatch& batch) const {
    std::optional<at::Tensor> skip;
    // The kernel only accepts 1, but a sum over ranks may be larger.
    if (batch.scaling.found_inf) skip = batch.scaling.found_inf->reshape({}).ne(0).to(at::kFloat);
    at::_fused_adamw_(batch.weights, batch.gradients, batch.state.at("exp_avg"),
                      batch.state.at("exp_avg_sq"), /*max_exp_avg_sqs=*/{}, batch.steps, batch.lr,
                      beta1, beta2, batch.weight_decay, eps, /*amsgrad=*/false,
                      /*maximize=*/false, batch.scaling.grad_scale, skip);
    if (skip) at::_foreach_sub_(batch.steps, std::vector<at::Tensor>(batch.steps.size(), *skip));
  }
};
static_assert(UpdateRule<AdamWRule>);

using AdamW = Optimizer<AdamWRule>;
static_assert(Stateful<AdamW>);

}  // namespace contrapunto
