// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>

#include "contrapunto/core/state.hpp"

namespace contrapunto::detail {

/// Returns the parameters and buffers of `module` by their full names: the tensors themselves.
[[nodiscard]] inline TensorMap named_tensors(const torch::nn::Module& module) {
  TensorMap tensors;
  for (const auto& named : {module.named_parameters(), module.named_buffers()})
    for (const auto& item : named)
      if (item.value().defined()) tensors.emplace(item.key(), item.value());
  return tensors;
}

}  // namespace contrapunto::detail
