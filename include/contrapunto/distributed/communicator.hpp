// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <concepts>
#include <cstdint>

#include "contrapunto/distributed/pending_tensor.hpp"

namespace contrapunto {

/// The collective operations of the ranks of a run. Every rank must call the same operations in the
/// same order with tensors of the same shape and dtype. Gradients do not flow through a
/// communicator, and all returned tensors are contiguous.
///
///   rank(), size()            this rank, from 0 to size() - 1, and the number of ranks
///   device()                  device for small tensors to be exchanged: CPU, or the rank's GPU
///   all_reduce_sum_(tensor)   sums `tensor` over the ranks in place, the same bits on every rank
///   all_reduce_sum_async(t)   starts the same operation: `t` holds the sum after wait() on the
///                             result and must not be used before
///   all_gather(tensor)        [W, ...]: row r is the tensor of rank r; `.flatten(0, 1)` of it
///                             concatenates without a copy
///   reduce_scatter_sum(t)     [W, ...] to [...]: row rank() of the sum over the ranks
///   ring_shift(tensor, by)    starts a shift around the ring of ranks: it sends `tensor` to rank
///                             (rank() - by) mod W; wait() on the result gives the tensor of rank
///                             (rank() + by) mod W. `tensor` must not be written to before; if `by`
///                             is a multiple of W, `tensor` itself is returned
///   broadcast_(tensor, root)  overwrites `tensor` with that of rank `root`
///   barrier()                 returns once every rank has called it
template <class C>
concept Communicator = requires(const C& communicator, at::Tensor& tensor, const at::Tensor& input,
                                std::int64_t number) {
  { communicator.rank() } -> std::same_as<std::int64_t>;
  { communicator.size() } -> std::same_as<std::int64_t>;
  { communicator.device() } -> std::same_as<c10::Device>;
  communicator.all_reduce_sum_(tensor);
  { communicator.all_reduce_sum_async(tensor) } -> std::same_as<PendingTensor>;
  { communicator.all_gather(input) } -> std::same_as<at::Tensor>;
  { communicator.reduce_scatter_sum(input) } -> std::same_as<at::Tensor>;
  { communicator.ring_shift(input, number) } -> std::same_as<PendingTensor>;
  communicator.broadcast_(tensor, number);
  communicator.barrier();
};

}  // namespace contrapunto
