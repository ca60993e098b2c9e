// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>
#include <torch/nn/module.h>

#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/nn/batch_norm.hpp"

namespace contrapunto {

/// Makes every `BatchNorm` in `model` use the statistics of the batches of all ranks while it
/// trains, so that W ranks compute what one process computes on the whole batch: outputs, gradients
/// (of parameters after a sum over ranks, as `GradientSync` makes it) and running statistics, which
/// are the same bits on every rank. Batches may be uneven, and empty on some ranks.
///
/// From now on each forward in training exchanges 1 + 2 C numbers per norm and each backward 2 C,
/// so all ranks must run the same model; evaluated and frozen norms exchange nothing. Raises when
/// `model` has no BatchNorm; with one rank nothing changes. Reference: Zhang et al. 2018,
/// https://arxiv.org/abs/1803.08904
inline void synchronize_batch_norm(torch::nn::Module& model, const Ranks& ranks) {
  bool found = false;
  model.apply([&](torch::nn::Module& module) {
    auto* norm = module.as<BatchNormImpl>();
    if (norm == nullptr) return;
    found = true;
    norm->synchronize(ranks);
  });
  TORCH_CHECK(found,
              "synchronize_batch_norm: the model has no BatchNorm; there is nothing to "
              "synchronize, leave the call out");
}

}  // namespace contrapunto
