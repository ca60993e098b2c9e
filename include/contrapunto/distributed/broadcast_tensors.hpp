// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/distributed/rank_checks.hpp"
#include "contrapunto/distributed/ranks.hpp"

namespace contrapunto {

namespace detail {

/// Returns the dtype and shape of `tensor`, such as "Float [2, 3]".
inline std::string describe_tensor(const at::Tensor& tensor) {
  std::string text = std::string(c10::toString(tensor.scalar_type())) + " [";
  for (std::int64_t d = 0; d < tensor.dim(); ++d)
    text += (d > 0 ? ", " : "") + std::to_string(tensor.size(d));
  return text + "]";
}

/// Returns the number, dtypes and shapes of `tensors` as a text that ranks can compare.
inline std::string describe_tensors(const std::vector<at::Tensor>& tensors) {
  std::string text = std::to_string(tensors.size()) + " tensors";
  for (const auto& tensor : tensors) text += "; " + describe_tensor(tensor);
  return text;
}

}  // namespace detail

/// Overwrites `tensors`, such as a model's parameters and buffers, with those of rank `root`, so
/// that all ranks start from the same model. Raises on every rank if the number, shapes or dtypes
/// differ between ranks. Collective.
inline void broadcast_tensors_(std::vector<at::Tensor> tensors, const Ranks& ranks,
                               std::int64_t root = 0) {
  if (ranks.size() == 1) return;
  check_same_on_all_ranks(ranks, "broadcast_tensors_: the list of tensors",
                          detail::describe_tensors(tensors));
  for (auto& tensor : tensors) ranks.broadcast_(tensor, root);
}

/// Overwrites all parameters and buffers of `module` with those of rank `root`, so that all ranks
/// start from the same model. `module` is a torch::nn::Module or any type with the same
/// named_parameters() and named_buffers(). Raises on every rank if the names, shapes or dtypes
/// differ between ranks; the message names the tensors that differ. Collective.
template <class Module>
void broadcast_module_(const Module& module, const Ranks& ranks, std::int64_t root = 0) {
  if (ranks.size() == 1) return;
  std::vector<at::Tensor> tensors;
  std::vector<std::pair<std::string, std::string>> described;
  for (const auto& named : {module.named_parameters(), module.named_buffers()})
    for (const auto& entry : named) {
      if (!entry.value().defined()) continue;
      tensors.push_back(entry.value());
      described.emplace_back(entry.key(), detail::describe_tensor(entry.value()));
    }
  check_same_on_all_ranks(ranks, "broadcast_module_: parameters and buffers", described);
  for (auto& tensor : tensors) ranks.broadcast_(tensor, root);
}

}  // namespace contrapunto
