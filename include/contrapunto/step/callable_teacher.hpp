// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/scalar_tensor.h>
#include <c10/core/Device.h>

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "contrapunto/core/unit_rows.hpp"
#include "contrapunto/precision/precision_policy.hpp"
#include "contrapunto/step/pair_step_model.hpp"
#include "contrapunto/step/with_teachers.hpp"

namespace contrapunto {

struct CallableTeacherOptions {
  double scale = 100.0;  ///< Multiplies the cosines; 100 is that of most trained CLIP models.
  std::optional<double> bias = std::nullopt;  ///< Added to the logits; for the sigmoid loss.
  PairStepOptions inputs = {};                ///< What the two functions read.
  PrecisionPolicy precision = {};             ///< Autocast, if any, around the functions.
  at::Device device = at::kCPU;               ///< Inputs are moved there before they are prepared.
};

/// Makes a teacher from two functions that map a slice [b, ...] of a batch tensor to features
/// [b, D], whose rows need not have unit length. The features of a sample must not depend on the
/// other samples of the slice. The functions run without a graph. Modules that they use must be in
/// eval mode.
[[nodiscard]] inline Teacher callable_teacher(std::function<at::Tensor(const at::Tensor&)> encode_x,
                                              std::function<at::Tensor(const at::Tensor&)> encode_y,
                                              const CallableTeacherOptions& options = {}) {
  struct Model {
    std::function<at::Tensor(const at::Tensor&)> x, y;
    at::Tensor fixed_scale, logit_bias;

    [[nodiscard]] at::Tensor encode_image(const at::Tensor& in) const { return unit_rows(x(in)); }
    [[nodiscard]] at::Tensor encode_text(const at::Tensor& in) const { return unit_rows(y(in)); }
    [[nodiscard]] at::Tensor scale() const { return fixed_scale; }
    [[nodiscard]] static std::vector<at::Tensor> parameters() { return {}; }
    [[nodiscard]] static std::vector<at::Tensor> buffers() { return {}; }
  };
  const auto scalar = [&](double value) {
    return at::scalar_tensor(value, at::TensorOptions().device(options.device));
  };
  auto model = std::make_shared<Model>(
      Model{std::move(encode_x), std::move(encode_y), scalar(options.scale), {}});
  if (options.bias) model->logit_bias = scalar(*options.bias);
  return {.model = pair_step_model(std::move(model), options.device, options.inputs),
          .precision = options.precision,
          .device = options.device};
}

}  // namespace contrapunto
