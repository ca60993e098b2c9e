// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>

#include "contrapunto/core/detail/load_tensors.hpp"
#include "contrapunto/core/detail/named_tensors.hpp"
#include "contrapunto/core/state.hpp"

namespace contrapunto {

/// Returns the parameters and buffers of `module` by their full names. The tensors are not copies,
/// so save them before the next step changes them.
[[nodiscard]] inline State module_state(const torch::nn::Module& module) {
  State state;
  for (const auto& [name, tensor] : detail::named_tensors(module))
    state.tensors.emplace(name, tensor.detach());
  return state;
}

/// Copies `state` into the parameters and buffers of `module`, which keep their dtype and device.
/// Both sides must have the same names. Raises before any change and lists the names that are
/// missing, unexpected or of another shape.
inline void load_module_state(torch::nn::Module& module, const State& state) {
  detail::load_tensors("load_module_state: the state does not fit the module",
                       module_state(module).tensors, state.tensors);
}

}  // namespace contrapunto
