// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>

#include "contrapunto/distributed/communicator.hpp"

namespace contrapunto::detail {

/// `share` [] with the value of the sum over the ranks: every rank reports the loss of the whole
/// batch, and differentiates its share of it.
template <Communicator C>
[[nodiscard]] at::Tensor all_reduce_value(const at::Tensor& share, const C& communicator) {
  if (communicator.size() == 1) return share;
  auto sum = share.detach().clone();
  communicator.all_reduce_sum_(sum);
  return share - share.detach() + sum;  // zero plus the sum: the same bits on every rank
}

}  // namespace contrapunto::detail
