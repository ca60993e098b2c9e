// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace contrapunto {

/// A batch: named tensors, all with the same first dimension B, and the key of each sample.
struct Batch {
  std::map<std::string, at::Tensor> tensors = {};
  std::vector<std::string> keys = {};  ///< B names from the source; empty if it has none.

  /// Returns the tensor `name`. Raises if there is none; the message lists the existing names.
  [[nodiscard]] const at::Tensor& at(const std::string& name) const {
    const auto found = tensors.find(name);
    if (found == tensors.end()) {
      std::string have;
      for (const auto& [key, _] : tensors) have += (have.empty() ? "" : ", ") + key;
      TORCH_CHECK(false, "Batch: no tensor named '", name, "'; this batch has: ", have);
    }
    return found->second;
  }

  /// Number of samples in the batch; 0 if it has no tensors.
  [[nodiscard]] std::int64_t size() const {
    return tensors.empty() ? 0 : tensors.begin()->second.size(0);
  }

  /// Returns the batch on `device`. Pinned host memory is copied asynchronously.
  [[nodiscard]] Batch to(c10::Device device) const {
    Batch moved{{}, keys};
    for (const auto& [name, tensor] : tensors)
      moved.tensors.emplace(name, tensor.to(device, tensor.scalar_type(), /*non_blocking=*/true));
    return moved;
  }
};

}  // namespace contrapunto
