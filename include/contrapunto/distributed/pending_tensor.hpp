// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <utility>

namespace contrapunto {

/// A tensor that is still being exchanged between ranks. It keeps everything alive that the
/// exchange needs, so the caller may release the tensors that it passed. It may be destroyed
/// without a call of wait(): the exchange still takes place.
class PendingTensor {
 public:
  /// Wraps a tensor that is already available.
  explicit PendingTensor(at::Tensor arrived) : tensor_(std::move(arrived)) {}

  /// Wraps a tensor that `finish` waits for and returns. `finish` is called at most once.
  explicit PendingTensor(std::function<at::Tensor()> finish) : finish_(std::move(finish)) {}

  PendingTensor(PendingTensor&&) = default;
  PendingTensor& operator=(PendingTensor&&) = default;
  PendingTensor(const PendingTensor&) = delete;
  PendingTensor& operator=(const PendingTensor&) = delete;

  /// Returns the tensor, or raises the error of the exchange. On the host the tensor is ready when
  /// this returns. On a CUDA device the caller's current stream waits instead of the host. Later
  /// calls return the same tensor at once.
  at::Tensor wait() {
    if (finish_) tensor_ = std::exchange(finish_, nullptr)();
    return tensor_;
  }

 private:
  std::function<at::Tensor()> finish_;
  at::Tensor tensor_;
};

}  // namespace contrapunto
