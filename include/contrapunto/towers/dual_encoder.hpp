// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/embeddings.hpp"
#include "contrapunto/core/unit_rows.hpp"

namespace contrapunto {

struct DualEncoderOptions {
  double initial_logit_scale = std::log(1.0 / 0.07);        ///< Logarithm of the scale.
  std::optional<double> initial_logit_bias = std::nullopt;  ///< Unset: no bias parameter.
};

/// Two towers trained against each other, registered as "visual" and "text", and the learned scale
/// of their similarities. Not a template, so that whatever takes a model takes any pair of towers;
/// both may just as well read texts, or images.
/// Reference: Radford et al. 2021, https://arxiv.org/abs/2103.00020
class DualEncoderImpl : public torch::nn::Module {
 public:
  template <class ImageTower, class TextTower>
  DualEncoderImpl(ImageTower image, TextTower text, DualEncoderOptions options = {}) {
    static_assert(
        Tower<ImageTower>,
        "DualEncoder: the image tower must be a LibTorch module holder (TORCH_MODULE) whose "
        "forward takes one Tensor and returns features [B, D]");
    static_assert(
        Tower<TextTower>,
        "DualEncoder: the text tower must be a LibTorch module holder (TORCH_MODULE) whose "
        "forward takes one Tensor and returns features [B, D]");
    visual_ = register_module("visual", image);
    text_ = register_module("text", text);
    image_forward_ = [image](const at::Tensor& x) mutable -> at::Tensor { return image(x); };
    text_forward_ = [text](const at::Tensor& x) mutable -> at::Tensor { return text(x); };

    const auto parameters = visual_->parameters();
    const auto where =
        at::TensorOptions(at::kFloat)
            .device(parameters.empty() ? at::Device(at::kCPU) : parameters.front().device());
    logit_scale =
        register_parameter("logit_scale", at::full({}, options.initial_logit_scale, where));
    if (options.initial_logit_bias)
      logit_bias =
          register_parameter("logit_bias", at::full({}, *options.initial_logit_bias, where));
  }

  /// Input of the image tower to float32 unit rows [B, D]; float64 from a tower in float64.
  [[nodiscard]] at::Tensor encode_image(const at::Tensor& images) const {
    return unit_features(image_forward_(images), "image");
  }

  /// Input of the text tower to unit rows [B, D] likewise.
  [[nodiscard]] at::Tensor encode_text(const at::Tensor& tokens) const {
    return unit_features(text_forward_(tokens), "text");
  }

  /// Both at once, with scale and bias. Raises when the towers disagree in B or D.
  [[nodiscard]] Embeddings forward(const at::Tensor& images, const at::Tensor& tokens) const {
    Embeddings e{encode_image(images), encode_text(tokens), scale(), std::nullopt};
    TORCH_CHECK(e.x.sizes() == e.y.sizes(), "DualEncoder: image features are ", e.x.sizes(),
                " and text features ", e.y.sizes(),
                "; give both towers one output_dim and the same number of pairs");
    if (logit_bias.defined()) e.bias = at_least_float32(logit_bias);
    return e;
  }

  /// exp(logit_scale), float32, [].
  [[nodiscard]] at::Tensor scale() const { return at_least_float32(logit_scale).exp(); }

  /// Keeps the scale within [1, 100], in place and outside of autograd. Call after each step.
  void clamp_logit_scale_() {
    const at::NoGradGuard no_grad;
    logit_scale.clamp_(0.0, std::log(100.0));
  }

  [[nodiscard]] const std::shared_ptr<torch::nn::Module>& visual() const { return visual_; }
  [[nodiscard]] const std::shared_ptr<torch::nn::Module>& text() const { return text_; }

  at::Tensor logit_scale;  ///< [], logarithm of the scale.
  at::Tensor logit_bias;   ///< []; undefined without a bias.

 private:
  static at::Tensor unit_features(const at::Tensor& features, const char* tower) {
    TORCH_CHECK(features.dim() == 2, "DualEncoder: the ", tower, " tower returned ",
                features.sizes(), ", expected [B, D]");
    return unit_rows(features);
  }

  std::shared_ptr<torch::nn::Module> visual_;
  std::shared_ptr<torch::nn::Module> text_;
  std::function<at::Tensor(const at::Tensor&)> image_forward_;
  std::function<at::Tensor(const at::Tensor&)> text_forward_;
};
TORCH_MODULE(DualEncoder);

}  // namespace contrapunto
