// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cstdint>

#include "contrapunto/distributed/communicator.hpp"

namespace contrapunto {

/// The communicator of a run with one rank: nothing moves, results are those of W ranks with W = 1.
class SingleProcess {
 public:
  [[nodiscard]] std::int64_t rank() const { return 0; }
  [[nodiscard]] std::int64_t size() const { return 1; }

  void all_reduce_sum_(at::Tensor& /*tensor*/) const {}

  /// A copy [1, ...] without history, so that a caller may write to it as with many ranks.
  [[nodiscard]] at::Tensor all_gather(const at::Tensor& tensor) const {
    return tensor.detach().unsqueeze(0).clone(at::MemoryFormat::Contiguous);
  }

  /// Raises when `root` is not 0.
  void broadcast_(at::Tensor& /*tensor*/, std::int64_t root) const {
    TORCH_CHECK(root == 0, "broadcast_: root is ", root, ", but the only rank is 0");
  }

  void barrier() const {}
};

static_assert(Communicator<SingleProcess>);

}  // namespace contrapunto
