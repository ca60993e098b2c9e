// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_sign.h>
#include <ATen/ops/_foreach_sub.h>
#include <c10/util/Exception.h>

#include <string>
#include <vector>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/optim/optimizer.hpp"
#include "contrapunto/optim/update_rule.hpp"

namespace contrapunto {

/// Lion: every element moves by the learning rate in the direction of the sign of a mean of
/// gradients, so there is half as much state as with AdamW. Its steps are larger than AdamW's: take
/// a learning rate that is 3 to 10 times smaller and a weight decay that is as much larger.
/// Reference: Chen et al. 2023, https://arxiv.org/abs/2302.06675
struct LionRule {
  double beta1 = 0.9;   ///< Part of the mean in the direction; the rest is the gradient. In [0, 1).
  double beta2 = 0.99;  ///< Decay of the mean of gradients, in [0, 1).

  [[nodiscard]] std::string name() const { return "Lion"; }
  void check() const {
    TORCH_CHECK(beta1 >= 0.0 && beta1 < 1.0 && beta2 >= 0.0 && beta2 < 1.0, "Lion: beta1 (", beta1,
                ") and beta2 (", beta2, ") must be in [0, 1)");
  }
  [[nodiscard]] std::vector<std::string> state_names(const std::string& /*name*/,
                                                     const at::Tensor& /*parameter*/) const {
    return {"exp_avg"};
  }

  void update(const UpdateBatch& batch) const {
    const auto& means = batch.state.at("exp_avg");
    auto updates = at::_foreach_lerp(means, batch.gradients, 1.0 - beta1);
    at::_foreach_sign_(updates);
    at::_foreach_mul_(batch.weights, 1.0 - batch.lr * batch.weight_decay);
    at::_foreach_sub_(batch.weights, updates, batch.lr);
    at::_foreach_lerp_(means, batch.gradients, 1.0 - beta2);
  }
};
static_assert(UpdateRule<LionRule>);

using Lion = Optimizer<LionRule>;
static_assert(Stateful<Lion>);

}  // namespace contrapunto
