// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <utility>

namespace contrapunto {

/// A tensor that is still on its way between ranks. It holds on to everything the exchange needs,
/// so whoever started it may let go of the tensors given. Dropping it without waiting is allowed:
/// the exchange takes place all the same.
class PendingTensor {
 public:
  /// One that has arrived.
  explicit PendingTensor(at::Tensor arrived) : tensor_(std::move(arrived)) {}

  /// One that `finish` waits for and returns; it is called at most once.
  explicit PendingTensor(std::function<at::Tensor()> finish) : finish_(std::move(finish)) {}

  PendingTensor(PendingTensor&&) = default;
  PendingTensor& operator=(PendingTensor&&) = default;
  PendingTensor(const PendingTensor&) = delete;
  PendingTensor& operator=(const PendingTensor&) = delete;

  /// The tensor; raises what went wrong on the way. On the host it is there when this returns; on a
  /// CUDA device the caller's current stream waits, not the host. Later calls return the same
  /// tensor at once.
  at::Tensor wait() {
    if (finish_) tensor_ = std::exchange(finish_, nullptr)();
    return tensor_;
  }

 private:
  std::function<at::Tensor()> finish_;
  at::Tensor tensor_;
};

}  // namespace contrapunto
