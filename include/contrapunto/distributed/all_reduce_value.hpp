// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>

#include "contrapunto/distributed/ranks.hpp"

namespace contrapunto {

/// Turns this rank's share of a loss into the value that a loss over ranks must return: a scalar
/// whose value is the sum of `share` [] over the ranks, with the same bits on every rank, and whose
/// gradient is that of this rank's `share` alone. After the step strategies have summed the
/// gradients over the ranks, they are those of the loss of the whole batch.
///
/// For a mean over N samples of all ranks, the share is this rank's sum divided by N. With one rank
/// it returns `share` itself. It is a collective call that does not block the host.
[[nodiscard]] inline at::Tensor all_reduce_value(const at::Tensor& share, const Ranks& ranks) {
  if (ranks.size() == 1) return share;
  auto sum = share.detach().clone();
  ranks.all_reduce_sum_(sum);
  return share - share.detach() + sum;  // Zero plus the sum has the same bits on every rank.
}

}  // namespace contrapunto
