// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <optional>

#include "contrapunto/nn/activation.hpp"
#include "contrapunto/nn/forward_cost.hpp"
#include "contrapunto/nn/linear.hpp"
#include "contrapunto/nn/token_grid.hpp"

namespace contrapunto {

enum class MlpKind {
  kPlain,  ///< Mlp: two layers with an activation between them.
  kSwiGlu  ///< SwiGluMlp: the first layer is gated.
};

struct MlpOptions {
  std::int64_t width = 512;
  std::int64_t hidden = 2048;
  Activation activation = Activation::kGelu;
  std::optional<double> c_fc_std = std::nullopt;  ///< Standard deviation of a normal; unset: as in
                                                  ///< torch.nn.Linear.
  std::optional<double> c_proj_std = std::nullopt;  ///< Standard deviation of a normal; unset: as
                                                    ///< in torch.nn.Linear.
  bool zero_bias = false;                           ///< If false, uniform as in torch.nn.Linear.
  /// What a block builds from these options; Mlp itself ignores it.
  MlpKind kind = MlpKind::kPlain;
  bool inner_norm = false;  ///< kSwiGlu only: see SwiGluMlpOptions.
};

/// Two linear layers, `c_fc` and `c_proj`, with an activation between them. It maps [N, width] to
/// [N, width].
class MlpImpl : public torch::nn::Module {
 public:
  explicit MlpImpl(MlpOptions options, const at::TensorOptions& tensor_options = {})
      : width_(options.width), hidden_(options.hidden), activation_(options.activation) {
    c_fc = register_module("c_fc", Linear(LinearOptions{.in_features = options.width,
                                                        .out_features = options.hidden,
                                                        .weight_std = options.c_fc_std,
                                                        .zero_bias = options.zero_bias},
                                          tensor_options));
    c_proj = register_module("c_proj", Linear(LinearOptions{.in_features = options.hidden,
                                                            .out_features = options.width,
                                                            .weight_std = options.c_proj_std,
                                                            .zero_bias = options.zero_bias},
                                              tensor_options));
  }

  /// Maps `x` [N, width] to the same shape.
  [[nodiscard]] at::Tensor forward(const at::Tensor& x) {
    return c_proj(activate(c_fc(x), activation_));
  }

  [[nodiscard]] Activation activation() const { return activation_; }
  [[nodiscard]] std::int64_t hidden() const { return hidden_; }

  /// The cost of two products. Both sides of the activation are kept.
  [[nodiscard]] ForwardCost cost(const TokenGrid& grid) const {
    const auto tokens = static_cast<double>(grid.batch * grid.length());
    const auto hidden = static_cast<double>(hidden_);
    return {2.0 * tokens * static_cast<double>(width_) * hidden, 2.0 * tokens * hidden};
  }

  Linear c_fc = nullptr;
  Linear c_proj = nullptr;

 private:
  std::int64_t width_;
  std::int64_t hidden_;
  Activation activation_;
};
TORCH_MODULE(Mlp);

}  // namespace contrapunto
