// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

#include "contrapunto/core/keeps_float32.hpp"

namespace contrapunto {

/// A learned factor for each number of a residual branch, which starts small: 1e-4 in DeiT-III,
/// 1e-5 in DINOv2, 0.1 in BEiT. It only holds the parameter; the block multiplies.
/// Reference: Touvron et al. 2021, https://arxiv.org/abs/2103.17239
class LayerScaleImpl : public torch::nn::Module, public KeepsFloat32 {
 public:
  LayerScaleImpl(std::int64_t width, double initial, const at::TensorOptions& tensor_options = {}) {
    gamma = register_parameter("gamma", at::full({width}, initial, tensor_options));
  }

  at::Tensor gamma;  ///< [width]
};
TORCH_MODULE(LayerScale);

}  // namespace contrapunto
