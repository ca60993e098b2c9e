// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <concepts>
#include <map>
#include <string>
#include <vector>

#include "contrapunto/optim/step_scaling.hpp"

namespace contrapunto {

/// Parameters that an UpdateRule updates in one call. They have one device, one dtype, one weight
/// decay, one learning rate and tensors of state with the same names. All lists have the same
/// length.
struct UpdateBatch {
  double lr = 0.0;  ///< With the multiplier of the group.
  double weight_decay = 0.0;
  std::vector<std::string> names = {};
  std::vector<at::Tensor> weights = {};    ///< To be updated; float32 or float64, because 16-bit
                                           ///< parameters are given as their float32 copies.
  std::vector<at::Tensor> gradients = {};  ///< In the dtype and memory order of the weights; a rule
                                           ///< does not change them.
  std::map<std::string, std::vector<at::Tensor>> state = {};  ///< By name; to be updated.
  std::vector<at::Tensor> steps = {};  ///< [] in float32: updates of each, including this one. They
                                       ///< are on the CPU unless the rule `takes_scaling()`.
  StepScaling scaling = {};            ///< Empty unless the rule `takes_scaling()`.
};

/// A rule by which an Optimizer changes weights: a value with options and these members.
///
///   `string name() const`
///       For messages and the plan of a run.
///   `void check() const`
///       Raises for options out of range.
///   `vector<string> state_names(const string& name, const Tensor& parameter) const`
///       The tensors of state that the parameter `name` needs. Each has the shape of the parameter
///       and the dtype of its weight, and is 0 at first.
///   `void update(const UpdateBatch& batch) const`
///       Updates the weights and the state.
///
/// Two more are optional. `double squares_decay() const` is the decay of the mean of squared
/// gradients, for the plan. `bool takes_scaling() const` says that `update` itself applies the
/// StepScaling and counts on the device; otherwise the optimizer divides the gradients, and waits
/// for `found_inf` to leave a step out.
template <class R>
concept UpdateRule = std::copy_constructible<R> &&
    requires(const R& rule, const std::string& name, const at::Tensor& parameter,
             const UpdateBatch& batch) {
  { rule.name() } -> std::convertible_to<std::string>;
  rule.check();
  { rule.state_names(name, parameter) } -> std::convertible_to<std::vector<std::string>>;
  rule.update(batch);
};

}  // namespace contrapunto
