// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/optim/optimizer.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

namespace contrapunto::test {

inline at::Tensor parameter(at::IntArrayRef shape, at::ScalarType kind = torch::kFloat) {
  return torch::randn(shape).to(kind).requires_grad_(true);
}

/// A group whose parameters are named "name.0", "name.1" and so on.
inline ParameterGroup group(std::string name, std::vector<at::Tensor> parameters,
                            double weight_decay) {
  ParameterGroup made{name, parameters, {}, weight_decay};
  for (std::size_t i = 0; i < parameters.size(); ++i)
    made.parameter_names.push_back(name + "." + std::to_string(i));
  return made;
}

inline State copy_of(const State& state) {
  State copy = state;
  for (auto& [_, tensor] : copy.tensors) tensor = tensor.clone();
  return copy;
}

/// One parameter of a loop in float64 that is written from a paper.
struct Loop {
  std::string name;
  at::Tensor value;
  double lr_multiplier = 1.0;
  double weight_decay = 0.0;
  double steps = 0;
  std::map<std::string, at::Tensor> state = {};

  /// A tensor of state, 0 at first.
  at::Tensor& at(const std::string& tensor) {
    auto& found = state[tensor];
    if (!found.defined()) found = torch::zeros_like(value);
    return found;
  }
};

/// Trains `groups` for 100 steps with random gradients, every tenth of which is 20 times larger,
/// and checks the weights against `update(loop, gradient, lr)`, which changes loop.value.
template <class Rule, class Update>
void check_follows(const std::vector<ParameterGroup>& groups, const Rule& rule,
                   const Update& update) {
  Optimizer<Rule> optimizer(groups, rule);
  std::vector<std::pair<Loop, at::Tensor>> loops;
  for (const auto& g : groups)
    for (std::size_t i = 0; i < g.parameters.size(); ++i)
      loops.push_back({Loop{.name = g.parameter_names[i],
                            .value = g.parameters[i].detach().to(torch::kDouble).clone(),
                            .lr_multiplier = g.lr_multiplier,
                            .weight_decay = g.weight_decay},
                       g.parameters[i]});
  for (int step = 0; step < 100; ++step) {
    const double lr = 1e-2 / (1 + 0.1 * step);
    for (auto& [loop, p] : loops) {
      p.mutable_grad() = torch::randn_like(p.detach()) * (step % 10 == 9 ? 20.0 : 1.0);
      loop.steps += 1;
      update(loop, p.grad().to(torch::kDouble), lr * loop.lr_multiplier);
    }
    optimizer.step(lr);
  }
  // A step rounds the weights and the result of the decay, half a unit in the last place each.
  for (const auto& [loop, p] : loops) {
    INFO(loop.name);
    CHECK(close(p, loop.value, p.scalar_type() == torch::kFloat ? 12 : 1));
  }
}

/// Groups with all that matters to a rule: two weight decays, a learning rate of its own, matrices,
/// vectors and numbers.
inline std::vector<ParameterGroup> mixed_groups(at::ScalarType kind) {
  auto slow = group("slow", {parameter({3, 2}, kind)}, 0.1);
  slow.lr_multiplier = 0.25;
  return {group("decay", {parameter({4, 5}, kind), parameter({6, 3}, kind)}, 0.2),
          group("plain", {parameter({}, kind), parameter({7}, kind)}, 0.0), slow};
}

}  // namespace contrapunto::test
