// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/softmax.h>
#include <c10/core/ScalarType.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <optional>

#include "contrapunto/nn/linear.hpp"
#include "contrapunto/nn/token_grid.hpp"

namespace contrapunto {

/// The mean of the tokens of each sequence with weights that a linear layer gives each token.
/// Reference: Hassani et al. 2021, https://arxiv.org/abs/2104.05704
class SequencePoolImpl : public torch::nn::Module {
 public:
  explicit SequencePoolImpl(std::int64_t width, std::optional<double> weight_std = std::nullopt,
                            const at::TensorOptions& tensor_options = {}) {
    score = register_module("score", Linear(LinearOptions{.in_features = width,
                                                          .out_features = 1,
                                                          .weight_std = weight_std,
                                                          .zero_bias = true},
                                            tensor_options));
  }

  /// Maps tokens [batch * L, width] to [batch, width].
  [[nodiscard]] at::Tensor forward(const at::Tensor& x, const TokenGrid& grid) {
    const auto scores = score(x).view({grid.batch, 1, grid.length()});
    const auto shares = at::softmax(scores, 2, c10::promoteTypes(scores.scalar_type(), at::kFloat));
    return at::bmm(shares.to(x.scalar_type()), x.view({grid.batch, grid.length(), -1})).squeeze(1);
  }

  Linear score = nullptr;
};
TORCH_MODULE(SequencePool);

}  // namespace contrapunto
