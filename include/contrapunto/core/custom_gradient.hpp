// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include <functional>
#include <utility>
#include <vector>

namespace contrapunto {

/// Gradients of the outputs in, gradients of the inputs out; an undefined one stands for zeros.
using GradientFunction =
    std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>& output_gradients)>;

namespace detail {

struct GradientHolder : torch::CustomClassHolder {
  explicit GradientHolder(GradientFunction function) : gradient(std::move(function)) {}
  GradientFunction gradient;
};

/// A struct, since bare vectors of tensors would be taken for inputs.
struct Computed {
  std::vector<at::Tensor> outputs;
  GradientFunction gradient;
};

struct CustomGradient : torch::autograd::Function<CustomGradient> {
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context,
                                                at::TensorList inputs, Computed& computed) {
    context->save_for_backward(inputs.vec());  // raises in backward when one was changed in place
    context->set_materialize_grads(false);
    context->saved_data["gradient"] = c10::IValue::make_capsule(
        c10::make_intrusive<GradientHolder>(std::move(computed.gradient)));
    return std::move(computed.outputs);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto inputs = context->get_saved_variables();
    const at::NoGradGuard no_grad;
    const auto holder = context->saved_data["gradient"].toCapsule();
    auto result = static_cast<GradientHolder&>(*holder).gradient(gradients);
    TORCH_INTERNAL_ASSERT(result.size() == inputs.size());
    result.emplace_back();  // of the argument that is no tensor
    return result;
  }
};

}  // namespace detail

/// Whether `with_gradient` of these inputs would record anything.
[[nodiscard]] inline bool records_gradient(const std::vector<at::Tensor>& inputs) {
  if (!at::GradMode::is_enabled()) return false;
  for (const auto& input : inputs)
    if (input.requires_grad()) return true;
  return false;
}

/// Makes `outputs`, computed from `inputs` without history, a differentiable function of them:
/// backward calls `gradient`, with gradients off, and it returns one gradient per input.
/// `gradient` may hold the inputs and what was computed without history. Differentiable once;
/// raises when an input was changed in place since. Without grad mode the outputs come back as
/// they are.
[[nodiscard]] inline std::vector<at::Tensor> with_gradient(const std::vector<at::Tensor>& inputs,
                                                           std::vector<at::Tensor> outputs,
                                                           GradientFunction gradient) {
  if (!records_gradient(inputs)) return outputs;
  detail::Computed computed{std::move(outputs), std::move(gradient)};
  return detail::CustomGradient::apply(at::TensorList(inputs), computed);
}

}  // namespace contrapunto
