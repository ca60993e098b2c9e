// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/elu.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/relu.h>

#include <cstdint>

namespace contrapunto::detail {

/// Attention whose score is the product of the features of query and key, none of which is
/// negative: [B, L, H, D] each to [B, L, H, D]. The keys are summed up first, so that work and
/// memory are linear in L.
inline at::Tensor attend_linear(const at::Tensor& query_features, const at::Tensor& key_features,
                                const at::Tensor& v) {
  const auto q = query_features.transpose(1, 2), k = key_features.transpose(1, 2);  // [B, H, L, D]
  // Means rather than sums, so that the numbers do not grow with L.
  const auto sum = at::matmul(k.transpose(2, 3), v.transpose(1, 2)) / k.size(2);  // [B, H, D, D]
  const auto norm = (q * k.mean(2, /*keepdim=*/true)).sum(3, /*keepdim=*/true);
  return (at::matmul(q, sum) / (norm + 1e-6)).transpose(1, 2);
}

/// The feature map elu(x) + 1.
/// Reference: Katharopoulos et al. 2020, https://arxiv.org/abs/2006.16236
inline at::Tensor elu_features(const at::Tensor& x) {
  return at::elu(x) + 1;
}

/// The focused feature map: relu(x)^3 with the norm of relu(x), over the last dimension.
/// Reference: Han et al. 2023, https://arxiv.org/abs/2308.00442, equation 5
inline at::Tensor focused_features(const at::Tensor& x) {
  const auto norm = [](const at::Tensor& y) {
    return at::linalg_vector_norm(y, 2, at::IntArrayRef(-1), /*keepdim=*/true);
  };
  const auto positive = at::relu(x) + 1e-6;  // Not 0, where the norm has no derivative.
  const auto cubed = positive * positive * positive;
  return cubed * (norm(positive) / norm(cubed));
}

}  // namespace contrapunto::detail
