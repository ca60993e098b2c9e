// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>
#include <torch/nn/module.h>

#include <cstdint>

#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/nn/batch_norm.hpp"

namespace contrapunto {

/// Makes every `BatchNorm` in `model` use the statistics of the batches of all ranks in training,
/// so that W ranks compute what one process computes on the whole batch. This holds for outputs,
/// gradients (those of parameters after a sum over ranks, as `GradientSync` computes it) and
/// running statistics, which have the same bits on every rank. Batches may be uneven and may be
/// empty on some ranks.
///
/// From now on each forward in training exchanges 1 + 2 C numbers per norm and each backward
/// exchanges 2 C, so all ranks must run the same model. Norms in eval mode and frozen norms
/// exchange nothing. With one rank nothing changes. Returns the number of norms, which is 0 for a
/// model without BatchNorm.
/// Reference: Zhang et al. 2018, https://arxiv.org/abs/1803.08904
inline std::int64_t synchronize_batch_norm(torch::nn::Module& model, const Ranks& ranks) {
  std::int64_t count = 0;
  model.apply([&](torch::nn::Module& module) {
    if (auto* norm = module.as<BatchNormImpl>()) {
      norm->synchronize(ranks);
      ++count;
    }
  });
  return count;
}

}  // namespace contrapunto
