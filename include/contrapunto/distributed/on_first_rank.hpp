// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <string>

#include "contrapunto/core/error_text.hpp"
#include "contrapunto/distributed/ranks.hpp"

namespace contrapunto {

/// Returns the text of rank 0 on every rank. Collective.
[[nodiscard]] inline std::string broadcast_text(const Ranks& ranks, const std::string& text) {
  if (ranks.size() == 1) return text;
  auto size = at::scalar_tensor(static_cast<std::int64_t>(text.size()),
                                at::TensorOptions(at::kLong).device(ranks.device()));
  ranks.broadcast_(size, 0);
  auto bytes = at::zeros({size.item<std::int64_t>()}, at::kByte);
  if (bytes.numel() == 0) return {};
  if (ranks.is_first()) std::memcpy(bytes.data_ptr(), text.data(), text.size());
  bytes = bytes.to(ranks.device());
  ranks.broadcast_(bytes, 0);
  bytes = bytes.cpu();
  return {static_cast<const char*>(bytes.data_ptr()), static_cast<std::size_t>(bytes.numel())};
}

/// Runs `work`, such as writing a file, on rank 0 alone. If it raises, every rank raises the same
/// message, so that no rank waits for rank 0. Collective.
template <class Work>
void on_first_rank(const Ranks& ranks, const Work& work) {
  if (ranks.size() == 1) {
    work();
    return;
  }
  std::string failure;
  if (ranks.is_first()) {
    try {
      work();
    } catch (const std::exception& error) {
      failure = error_text(error);
      if (failure.empty()) failure = "rank 0 failed with an empty error message";
    }
  }
  failure = broadcast_text(ranks, failure);
  TORCH_CHECK(failure.empty(), failure);
}

}  // namespace contrapunto
