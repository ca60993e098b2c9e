// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cmath>
#include <optional>
#include <utility>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/embeddings.hpp"
#include "contrapunto/core/unit_rows.hpp"
#include "contrapunto/towers/any_tower.hpp"

namespace contrapunto {

struct DualEncoderOptions {
  double initial_logit_scale = std::log(1.0 / 0.07);        ///< Logarithm of the scale.
  std::optional<double> initial_logit_bias = std::nullopt;  ///< Unset: no bias parameter.
};

/// Two towers that are trained together, and the learned scale of their similarities. The tower of
/// x is registered as "visual" and the tower of y as "text", which are OpenCLIP's names, but either
/// may read texts or images. It is not a template, so that code that takes a model works with any
/// pair of towers.
/// Reference: Radford et al. 2021, https://arxiv.org/abs/2103.00020
class DualEncoderImpl : public torch::nn::Module {
 public:
  template <class XTower, class YTower>
  DualEncoderImpl(XTower x_tower, YTower y_tower, DualEncoderOptions options = {}) {
    static_assert(
        Tower<XTower>,
        "DualEncoder: the tower of x must be a LibTorch module holder (TORCH_MODULE) whose forward "
        "takes one Tensor and returns features [B, D]");
    static_assert(
        Tower<YTower>,
        "DualEncoder: the tower of y must be a LibTorch module holder (TORCH_MODULE) whose forward "
        "takes one Tensor and returns features [B, D]");
    if constexpr (Tower<XTower> && Tower<YTower>) {
      x_tower_ = std::move(x_tower);
      y_tower_ = std::move(y_tower);
    }
    register_module("visual", x_tower_.ptr());
    register_module("text", y_tower_.ptr());

    const auto parameters = x_tower_->parameters();
    const auto tensor_options =
        at::TensorOptions(at::kFloat)
            .device(parameters.empty() ? at::Device(at::kCPU) : parameters.front().device());
    logit_scale = register_parameter("logit_scale",
                                     at::full({}, options.initial_logit_scale, tensor_options));
    if (options.initial_logit_bias)
      logit_bias = register_parameter("logit_bias",
                                      at::full({}, *options.initial_logit_bias, tensor_options));
  }

  /// Encodes the input of the tower of x to unit rows [B, D], in float32, or float64 if the tower
  /// returns float64.
  [[nodiscard]] at::Tensor encode_x(const at::Tensor& input) const {
    return unit_features(x_tower_, input, "x");
  }

  /// Encodes the input of the tower of y to unit rows [B, D] in the same way.
  [[nodiscard]] at::Tensor encode_y(const at::Tensor& input) const {
    return unit_features(y_tower_, input, "y");
  }

  /// CLIP's name for encode_x.
  [[nodiscard]] at::Tensor encode_image(const at::Tensor& images) const { return encode_x(images); }
  /// CLIP's name for encode_y.
  [[nodiscard]] at::Tensor encode_text(const at::Tensor& tokens) const { return encode_y(tokens); }

  /// Encodes both inputs and adds the scale and the bias. Raises if the towers differ in B or D.
  [[nodiscard]] Embeddings forward(const at::Tensor& x, const at::Tensor& y) const {
    Embeddings e{encode_x(x), encode_y(y), scale(), std::nullopt};
    TORCH_CHECK(e.x.sizes() == e.y.sizes(), "DualEncoder: features of x are ", e.x.sizes(),
                " and features of y are ", e.y.sizes(),
                "; give both towers the same output_dim and the same number of pairs");
    if (logit_bias.defined()) e.bias = at_least_float32(logit_bias);
    return e;
  }

  /// exp(logit_scale), float32, [].
  [[nodiscard]] at::Tensor scale() const { return at_least_float32(logit_scale).exp(); }

  /// Clamps the scale to [1, 100], in place and outside of autograd. Call it after each step.
  void clamp_logit_scale_() {
    const at::NoGradGuard no_grad;
    logit_scale.clamp_(0.0, std::log(100.0));
  }

  /// The tower of x and the tower of y.
  [[nodiscard]] const AnyTower& x_tower() const { return x_tower_; }
  [[nodiscard]] const AnyTower& y_tower() const { return y_tower_; }
  /// CLIP's name for x_tower().
  [[nodiscard]] const AnyTower& visual() const { return x_tower_; }
  /// CLIP's name for y_tower().
  [[nodiscard]] const AnyTower& text() const { return y_tower_; }

  at::Tensor logit_scale;  ///< [], logarithm of the scale.
  at::Tensor logit_bias;   ///< []; undefined without a bias.

 private:
  static at::Tensor unit_features(const AnyTower& tower, const at::Tensor& input,
                                  const char* side) {
    const auto features = tower(input);
    TORCH_CHECK(features.dim() == 2, "DualEncoder: the tower of ", side, " ('", tower->name(),
                "') returned ", features.sizes(), ", expected [B, D]");
    return unit_rows(features);
  }

  AnyTower x_tower_;
  AnyTower y_tower_;
};
TORCH_MODULE(DualEncoder);

}  // namespace contrapunto
