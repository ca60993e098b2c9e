// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace contrapunto {

/// How much the units of a transformer matter, in each layer, larger is more. Only the order within
/// a tensor counts, and for the width the sum over the layers that are inherited.
struct UnitImportance {
  std::vector<at::Tensor> width = {};  ///< Of the residual stream, [width] for each layer.
  std::vector<at::Tensor> heads = {};  ///< [heads] for each layer.
  std::vector<at::Tensor> hidden =
      {};  ///< Of the hidden units of the MLP, [hidden] for each layer.
};

}  // namespace contrapunto
