// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>

#include "contrapunto/core/detail/load_tensors.hpp"
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
  detail::load_tensors("load_module_state: the state does not fit the module",
                       module_state(module).tensors, state.tensors);
}

}  // namespace contrapunto
