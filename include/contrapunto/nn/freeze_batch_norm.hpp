// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>

#include <cstdint>

#include "contrapunto/nn/batch_norm.hpp"

namespace contrapunto {

/// Makes every `BatchNorm` in `model` use and keep its running statistics from now on, even in
/// training. The output for a sample then does not depend on other samples, so batches can be split
/// into chunks and over ranks without changing the result. It cannot be undone. Returns the number
/// of norms.
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
