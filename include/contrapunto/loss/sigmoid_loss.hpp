// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/log_sigmoid.h>
#include <c10/util/Exception.h>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/embeddings.hpp"
#include "contrapunto/loss/detail/loss_inputs.hpp"

namespace contrapunto {

/// Sigmoid loss: -1/B times the sum over all pairs of log sigmoid(+-z), where z = scale * x y^T +
/// bias, with plus on the diagonal and minus elsewhere. The sum over B^2 pairs is divided by B, as
/// in the paper and in OpenCLIP. The logits and the result [] are float32 regardless of autocast
/// (float64 for float64 features). Raises without a bias, for an empty batch, shapes that do not
/// fit, negatives and group ids.
/// Reference: Zhai et al. 2023, https://arxiv.org/abs/2303.15343
struct SigmoidLoss {
  /// Returns the loss, [].
  [[nodiscard]] at::Tensor operator()(const Embeddings& e) const {
    const detail::LossInputs in(e, "SigmoidLoss");
    detail::check_plain(e, "SigmoidLoss");
    TORCH_CHECK(e.bias.has_value(),
                "SigmoidLoss: the embeddings have no bias; build the model with "
                "DualEncoderOptions::initial_logit_bias (-10 in the paper)");
    TORCH_CHECK(e.bias->numel() == 1, "SigmoidLoss: bias ", e.bias->sizes(), " must be one number");
    const auto similarity = detail::similarity_logits(in);
    const auto logits = similarity + e.bias->to(similarity.scalar_type());  // [B, B]
    const auto signs = at::eye(logits.size(0), logits.options().requires_grad(false)) * 2 - 1;
    return -at::log_sigmoid(signs * logits).sum() / logits.size(0);
  }
};
static_assert(ContrastiveLoss<SigmoidLoss>);

}  // namespace contrapunto
