// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/util/Exception.h>

#include <cstdint>

#include "contrapunto/distributed/communicator.hpp"
#include "contrapunto/distributed/pending_tensor.hpp"

namespace contrapunto {

/// The communicator of a run with one rank. Nothing is exchanged, and all results are those of W
/// ranks with W = 1.
class SingleProcess {
 public:
  /// Creates a single process that trains on `device`.
  explicit SingleProcess(c10::Device device = c10::Device(c10::kCPU)) : device_(device) {}

  [[nodiscard]] std::int64_t rank() const { return 0; }
  [[nodiscard]] std::int64_t size() const { return 1; }

  [[nodiscard]] c10::Device device() const { return device_; }

  void all_reduce_sum_(at::Tensor& /*tensor*/) const {}
  [[nodiscard]] PendingTensor all_reduce_sum_async(at::Tensor& tensor) const {
    return PendingTensor(tensor);
  }

  /// Returns a detached copy [1, ...], so that the caller may write to it, as with several ranks.
  [[nodiscard]] at::Tensor all_gather(const at::Tensor& tensor) const {
    return tensor.detach().unsqueeze(0).clone(at::MemoryFormat::Contiguous);
  }

  /// Returns a detached copy of the only row of [1, ...]. Raises for any other number of rows.
  [[nodiscard]] at::Tensor reduce_scatter_sum(const at::Tensor& tensor) const {
    TORCH_CHECK(tensor.dim() >= 1 && tensor.size(0) == 1, "reduce_scatter_sum: the shape is ",
                tensor.sizes(), ", but there is 1 rank; expected [1, ...]");
    return tensor.detach()[0].clone(at::MemoryFormat::Contiguous);
  }

  [[nodiscard]] PendingTensor ring_shift(const at::Tensor& tensor, std::int64_t /*by*/) const {
    return PendingTensor(tensor.detach());
  }

  /// Raises if `root` is not 0.
  void broadcast_(at::Tensor& /*tensor*/, std::int64_t root) const {
    TORCH_CHECK(root == 0, "broadcast_: root is ", root, ", but the only rank is 0");
  }

  void barrier() const {}

 private:
  c10::Device device_;
};

static_assert(Communicator<SingleProcess>);

}  // namespace contrapunto
