// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/silu.h>
#include <c10/util/Exception.h>

namespace contrapunto {

/// Non-linearity of a transformer's MLP. Weights trained with one do not work well with the other.
enum class Activation {
  kGelu,      ///< Exact erf form.
  kQuickGelu  ///< x * sigmoid(1.702 x), as in all of OpenAI's weights.
};

/// Applies `activation` to each element of `x`; any shape and floating dtype, kept.
[[nodiscard]] inline at::Tensor activate(const at::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::kGelu:
      return at::gelu(x);
    case Activation::kQuickGelu:
      // silu(1.702 x) / 1.702 keeps one tensor for backward where x * sigmoid(1.702 x) keeps two.
      return at::silu(x * 1.702).div_(1.702);
  }
  TORCH_INTERNAL_ASSERT(false, "unknown Activation");
}

}  // namespace contrapunto
