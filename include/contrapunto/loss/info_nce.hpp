// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cross_entropy_loss.h>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/embeddings.hpp"
#include "contrapunto/loss/detail/loss_inputs.hpp"

namespace contrapunto {

/// Symmetric InfoNCE loss: the mean of the cross-entropies over rows and columns of scale * x y^T,
/// with the diagonal as the targets. This is the plain form for one process, which materializes the
/// [B, B] logits. The logits and the result [] are float32 regardless of autocast (float64 for
/// float64 features). With B == 1 the value and the gradients are 0. A bias is ignored because it
/// would cancel in the softmax. Raises for an empty batch, shapes that do not fit, negatives and
/// group ids.
/// Reference: Radford et al. 2021, https://arxiv.org/abs/2103.00020
struct InfoNce {
  /// Returns the loss, [].
  [[nodiscard]] at::Tensor operator()(const Embeddings& e) const {
    const detail::LossInputs in(e, "InfoNce");
    detail::check_plain(e, "InfoNce");
    const auto logits = detail::similarity_logits(in);                                    // [B, B]
    const auto diagonal = at::arange(logits.size(0), logits.options().dtype(at::kLong));  // [B]
    return (at::cross_entropy_loss(logits, diagonal) +
            at::cross_entropy_loss(logits.t(), diagonal)) /
           2;
  }
};
static_assert(ContrastiveLoss<InfoNce>);

}  // namespace contrapunto
