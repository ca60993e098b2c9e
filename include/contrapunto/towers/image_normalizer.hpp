// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/MemoryFormat.h>

#include <functional>

#include "contrapunto/kernels/normalize_images.hpp"
#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

/// Returns a function that converts bytes [B, 3, H, W] to the float32 images that the model of
/// `config` was made for, with its mean and standard deviation, on the device of the bytes and in
/// channels-last order.
[[nodiscard]] inline std::function<at::Tensor(const at::Tensor&)> image_normalizer(
    const ModelConfig& config) {
  return [mean = config.image_mean, std = config.image_std](const at::Tensor& bytes) {
    return normalize_images(bytes, mean, std, at::kFloat, at::MemoryFormat::ChannelsLast);
  };
}

}  // namespace contrapunto
