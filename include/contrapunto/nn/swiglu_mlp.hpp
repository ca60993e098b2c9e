// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <optional>

#include "contrapunto/nn/activation.hpp"
#include "contrapunto/nn/forward_cost.hpp"
#include "contrapunto/nn/layer_norm.hpp"
#include "contrapunto/nn/linear.hpp"
#include "contrapunto/nn/token_grid.hpp"

namespace contrapunto {

struct SwiGluMlpOptions {
  std::int64_t width = 512;
  std::int64_t hidden = 1365;                     ///< Of the gate and of what it multiplies, each.
  std::optional<double> c_fc_std = std::nullopt;  ///< Standard deviation of a normal; unset: as in
                                                  ///< torch.nn.Linear.
  std::optional<double> c_proj_std = std::nullopt;  ///< Likewise.
  bool zero_bias = false;                           ///< If false, uniform as in torch.nn.Linear.
  bool inner_norm = false;                          ///< Layer norm before `c_proj`, as in EVA-02.
  double layer_norm_eps = 1e-5;                     ///< Of this norm.
};

/// The gated MLP c_proj(silu(g) * h) with (g, h) = c_fc(x): [N, width] to [N, width].
/// Reference: Shazeer 2020, https://arxiv.org/abs/2002.05202
class SwiGluMlpImpl : public torch::nn::Module {
 public:
  explicit SwiGluMlpImpl(SwiGluMlpOptions options, const at::TensorOptions& tensor_options = {})
      : width_(options.width), hidden_(options.hidden) {
    c_fc = register_module("c_fc", Linear(LinearOptions{.in_features = options.width,
                                                        .out_features = 2 * options.hidden,
                                                        .weight_std = options.c_fc_std,
                                                        .zero_bias = options.zero_bias},
                                          tensor_options));
    if (options.inner_norm)
      norm = register_module("norm",
                             LayerNorm(options.hidden, options.layer_norm_eps, tensor_options));
    c_proj = register_module("c_proj", Linear(LinearOptions{.in_features = options.hidden,
                                                            .out_features = options.width,
                                                            .weight_std = options.c_proj_std,
                                                            .zero_bias = options.zero_bias},
                                              tensor_options));
  }

  /// Maps `x` [N, width] to the same shape.
  [[nodiscard]] at::Tensor forward(const at::Tensor& x) {
    const auto gated = detail::gate(c_fc(x));
    return c_proj(norm ? norm(gated) : gated);
  }

  /// The cost of two products. Gate, values and what they become are kept.
  [[nodiscard]] ForwardCost cost(const TokenGrid& grid) const {
    const auto tokens = static_cast<double>(grid.batch * grid.length());
    const auto hidden = static_cast<double>(hidden_);
    return {3.0 * tokens * static_cast<double>(width_) * hidden, 4.0 * tokens * hidden};
  }

  /// Width of the gate, and of what it multiplies.
  [[nodiscard]] std::int64_t hidden() const { return hidden_; }

  Linear c_fc = nullptr;  ///< [2 hidden, width]: rows of the gate, then of the values.
  LayerNorm norm = nullptr;
  Linear c_proj = nullptr;

 private:
  std::int64_t width_;
  std::int64_t hidden_;
};
TORCH_MODULE(SwiGluMlp);

}  // namespace contrapunto
