// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "contrapunto/distributed/rank_checks.hpp"
#include "contrapunto/distributed/ranks.hpp"

namespace contrapunto {

namespace detail {

/// Number, dtypes and shapes of `tensors` as a text that ranks can compare.
inline std::string describe_tensors(const std::vector<at::Tensor>& tensors) {
  std::string text = std::to_string(tensors.size()) + " tensors";
  for (const auto& tensor : tensors) {
    text += std::string("; ") + c10::toString(tensor.scalar_type()) + " [";
    for (std::int64_t d = 0; d < tensor.dim(); ++d)
      text += (d > 0 ? ", " : "") + std::to_string(tensor.size(d));
    text += "]";
  }
  return text;
}

}  // namespace detail

/// Overwrites `tensors`, such as a model's parameters and buffers, with those of rank `root`: how a
/// run with several ranks starts from one model. Raises on every rank when number, shapes or dtypes
/// differ between ranks. Collective.
inline void broadcast_tensors_(std::vector<at::Tensor> tensors, const Ranks& ranks,
                               std::int64_t root = 0) {
  if (ranks.size() == 1) return;
  check_same_on_all_ranks(ranks, "broadcast_tensors_: the list of tensors",
                          detail::describe_tensors(tensors));
  for (auto& tensor : tensors) ranks.broadcast_(tensor, root);
}

}  // namespace contrapunto
