// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/gelu_backward.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/silu_backward.h>
#include <c10/util/Exception.h>

namespace contrapunto {

/// Activation function of a transformer's MLP. Weights that were trained with one do not work well
/// with the other.
enum class Activation {
  kGelu,      ///< Exact GELU with erf.
  kQuickGelu  ///< x * sigmoid(1.702 x), as in all of OpenAI's weights.
};

/// Applies `activation` to each element of `x`, of any shape and floating dtype, which are kept.
[[nodiscard]] inline at::Tensor activate(const at::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::kGelu:
      return at::gelu(x);
    case Activation::kQuickGelu:
      // silu(1.702 x) / 1.702 keeps one tensor for the backward, while x * sigmoid(1.702 x) keeps
      // two.
      return at::silu(x * 1.702).div_(1.702);
  }
  TORCH_INTERNAL_ASSERT(false, "unknown Activation");
}

namespace detail {

/// Returns the gradient of `x` from `gradient`, that of `activate(x, activation)`.
inline at::Tensor activate_backward(const at::Tensor& gradient, const at::Tensor& x,
                                    Activation activation) {
  switch (activation) {
    case Activation::kGelu:
      return at::gelu_backward(gradient, x);
    case Activation::kQuickGelu:
      return at::silu_backward(gradient, x * 1.702);
  }
  TORCH_INTERNAL_ASSERT(false, "unknown Activation");
}

/// The gate of a gated MLP: silu(g) * h for `z` [N, 2 hidden], whose halves are g and h.
inline at::Tensor gate(const at::Tensor& z) {
  const auto parts = z.chunk(2, 1);
  return at::silu(parts[0]) * parts[1];
}

/// Returns the gradient of `z` from `gradient`, that of `gate(z)`.
inline at::Tensor gate_backward(const at::Tensor& gradient, const at::Tensor& z) {
  const auto parts = z.chunk(2, 1);
  return at::cat({at::silu_backward(gradient * parts[1], parts[0]), gradient * at::silu(parts[0])},
                 1);
}

}  // namespace detail

}  // namespace contrapunto
