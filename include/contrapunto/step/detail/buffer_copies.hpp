// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <cstddef>
#include <vector>

namespace contrapunto::detail {

/// Copies of a model's buffers, such as running statistics, that can be restored later. Restore
/// them only when no autograd graph that saved a buffer is alive.
class BufferCopies {
 public:
  [[nodiscard]] explicit BufferCopies(const std::vector<at::Tensor>& buffers) : buffers_(buffers) {
    for (const auto& buffer : buffers_) values_.push_back(buffer.detach().clone());
  }

  void restore() const {
    const at::NoGradGuard no_grad;
    for (std::size_t i = 0; i < buffers_.size(); ++i) at::Tensor(buffers_[i]).copy_(values_[i]);
  }

 private:
  std::vector<at::Tensor> buffers_, values_;
};

}  // namespace contrapunto::detail
