// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <concepts>
#include <cstdint>

namespace contrapunto {

/// What the ranks of a run do together. Every rank calls the same operations in the same order with
/// tensors of the same shape and dtype. Gradients never flow through a communicator.
///
///   rank(), size()            this rank, 0 to size() - 1; number of ranks
///   all_reduce_sum_(tensor)   sums `tensor` over the ranks, in place, the same bits on every rank
///   all_gather(tensor)        [W, ...]: row r is the tensor of rank r; `.flatten(0, 1)` of it
///                             concatenates without a copy
///   broadcast_(tensor, root)  overwrites `tensor` with that of rank `root`
///   barrier()                 returns once every rank has called it
template <class C>
concept Communicator = requires(const C& communicator, at::Tensor& tensor, const at::Tensor& input,
                                std::int64_t root) {
  { communicator.rank() } -> std::same_as<std::int64_t>;
  { communicator.size() } -> std::same_as<std::int64_t>;
  communicator.all_reduce_sum_(tensor);
  { communicator.all_gather(input) } -> std::same_as<at::Tensor>;
  communicator.broadcast_(tensor, root);
  communicator.barrier();
};

}  // namespace contrapunto
