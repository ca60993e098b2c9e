// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ops/linear.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <optional>

#include "contrapunto/nn/detail/initialize.hpp"
#include "contrapunto/nn/parametrized_module.hpp"

namespace contrapunto {

/// The convolution that splits images into patches (kernel = stride = `patch`), with the names of
/// torch.nn.Conv2d. It is computed as one matrix product: its output is the token matrix, and its
/// backward is one product for the weight.
class PatchEmbeddingImpl : public ParametrizedModule {
 public:
  PatchEmbeddingImpl(std::int64_t patch, std::int64_t width, bool with_bias,
                     const at::TensorOptions& tensor_options = {})
      : patch_(patch) {
    const double bound = detail::default_bound(3 * patch * patch);
    weight = register_weight(
        "weight", detail::uniform_tensor({width, 3, patch, patch}, bound, tensor_options));
    if (with_bias)
      bias = register_parameter("bias", detail::uniform_tensor({width}, bound, tensor_options));
  }

  /// Maps images [B, 3, H, W] to patch tokens [B * n, width] in row-major order, n = (H / patch)(W
  /// / patch). Pixels beyond the last full patch are ignored, as in a convolution.
  [[nodiscard]] at::Tensor forward(const at::Tensor& images) const {
    const auto rows = images.size(2) / patch_;
    const auto columns = images.size(3) / patch_;
    const auto patches =
        images.narrow(2, 0, rows * patch_)
            .narrow(3, 0, columns * patch_)
            .unflatten(2, {rows, patch_})
            .unflatten(4, {columns, patch_})  // [B, 3, rows, patch, columns, patch]
            .permute({0, 2, 4, 1, 3, 5})
            .reshape({-1, 3 * patch_ * patch_})
            .to(weight.scalar_type());
    return at::linear(patches, effective_weight(weight).flatten(1), bias);
  }

  at::Tensor weight;               ///< [width, 3, patch, patch]
  std::optional<at::Tensor> bias;  ///< [width]

 private:
  std::int64_t patch_;
};
TORCH_MODULE(PatchEmbedding);

}  // namespace contrapunto
