// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>
#include <torch/nn/module.h>

#include <sstream>
#include <string>

#include "contrapunto/core/state.hpp"

namespace contrapunto {

/// Parameters and buffers of `module` by their full names. The tensors are the module's own, not
/// copies: save them before the next step changes them.
[[nodiscard]] inline State module_state(const torch::nn::Module& module) {
  State state;
  for (const auto& item : module.named_parameters())
    if (item.value().defined()) state.tensors.emplace(item.key(), item.value().detach());
  for (const auto& item : module.named_buffers())
    if (item.value().defined()) state.tensors.emplace(item.key(), item.value().detach());
  return state;
}

/// Copies `state` into the parameters and buffers of `module`, which keep dtype and device. The
/// names must be the same on both sides; raises before any change and lists what is missing,
/// unexpected or of another shape.
inline void load_module_state(torch::nn::Module& module, const State& state) {
  const auto own = module_state(module);
  std::ostringstream problems;
  for (const auto& [name, tensor] : own.tensors) {
    const auto given = state.tensors.find(name);
    if (given == state.tensors.end())
      problems << "\n  missing: " << name << " " << tensor.sizes();
    else if (given->second.sizes() != tensor.sizes())
      problems << "\n  other shape: " << name << " is " << tensor.sizes() << " in the module, "
               << given->second.sizes() << " in the state";
  }
  for (const auto& [name, tensor] : state.tensors)
    if (own.tensors.count(name) == 0)
      problems << "\n  unexpected: " << name << " " << tensor.sizes();
  TORCH_CHECK(problems.str().empty(),
              "load_module_state: the state does not fit the module:", problems.str());
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : own.tensors) tensor.copy_(state.tensor(name));
}

}  // namespace contrapunto
