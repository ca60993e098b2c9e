// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>

#include <cstdint>

#include "contrapunto/nn/batch_norm.hpp"

namespace contrapunto {

/// Makes every `BatchNorm` in `model` use and keep its running statistics from now on, in training
/// too. What a norm makes of a sample then depends on no other sample: batches may be cut into
/// chunks and shared between ranks without a trace. There is no way back. Returns the number of
/// norms.
inline std::int64_t freeze_batch_norm(torch::nn::Module& model) {
  std::int64_t count = 0;
  model.apply([&](torch::nn::Module& module) {
    if (auto* norm = module.as<BatchNormImpl>()) {
      norm->freeze_statistics();
      ++count;
    }
  });
  return count;
}

}  // namespace contrapunto
