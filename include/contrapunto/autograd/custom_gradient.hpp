// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>
#include <c10/util/intrusive_ptr.h>
#include <torch/csrc/autograd/edge.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <cstddef>
#include <functional>
#include <mutex>
#include <type_traits>
#include <utility>
#include <vector>

namespace contrapunto {

/// Maps the inputs and the gradients of the outputs to the gradients of the inputs. An undefined
/// gradient stands for zeros.
using GradientFunction = std::function<std::vector<at::Tensor>(
    const std::vector<at::Tensor>& inputs, const std::vector<at::Tensor>& output_gradients)>;

namespace detail {

/// An autograd node that calls a GradientFunction. It is not a torch::autograd::Function, which
/// adds seconds of compile time to every includer and keeps captured values alive until the graph
/// is freed.
class CustomGradientNode : public torch::autograd::Node {
 public:
  void hold(const std::vector<at::Tensor>& inputs, GradientFunction gradient) {
    inputs_.reserve(inputs.size());
    for (const auto& input : inputs) inputs_.emplace_back(input, /*is_output=*/false);
    gradient_ = std::move(gradient);
  }

  void release_variables() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto& input : inputs_) input.reset_data();
    gradient_ = nullptr;
  }

 protected:
  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
    TORCH_CHECK(!at::GradMode::is_enabled(),
                "backward with create_graph reached a tiled loss, a checkpointed block, batch norm "
                "over ranks or a gather over ranks, which have no second derivatives; use the "
                "plain loss and turn activation checkpointing off");
    std::vector<at::Tensor> inputs;
    GradientFunction gradient;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (const auto& input : inputs_) inputs.push_back(input.unpack());
      gradient = gradient_;
    }
    auto result = gradient(inputs, gradients);
    TORCH_INTERNAL_ASSERT(result.size() == inputs.size());
    return result;
  }

 private:
  std::vector<torch::autograd::SavedVariable> inputs_;
  GradientFunction gradient_;
};

/// Nodes are held by std::shared_ptr or, in newer LibTorch versions, by an intrusive pointer.
template <class N>
[[nodiscard]] decltype(torch::autograd::Edge::function) own_node(N* node) {
  if constexpr (std::is_base_of_v<c10::intrusive_ptr_target, N>)
    return c10::intrusive_ptr<N>::unsafe_steal_from_new(node);
  else
    return {node, [](auto* n) { deleteNode(n); }};
}

}  // namespace detail

/// Returns whether `with_gradient` of these inputs would record anything.
[[nodiscard]] inline bool records_gradient(const std::vector<at::Tensor>& inputs) {
  if (!at::GradMode::is_enabled()) return false;
  for (const auto& input : inputs)
    if (input.requires_grad()) return true;
  return false;
}

/// Makes `outputs`, which were computed from `inputs` without a graph, a differentiable function of
/// `inputs`. The backward calls `gradient` with gradients disabled, which returns one gradient per
/// input. `gradient` may capture tensors that have no graph. The inputs are passed to it, so that
/// their memory can be freed as soon as it has run. The result is differentiable once: the backward
/// raises with create_graph, and if an input was changed in place. Without grad mode the outputs
/// are returned unchanged.
[[nodiscard]] inline std::vector<at::Tensor> with_gradient(const std::vector<at::Tensor>& inputs,
                                                           std::vector<at::Tensor> outputs,
                                                           GradientFunction gradient) {
  if (!records_gradient(inputs)) return outputs;
  auto* node = new detail::CustomGradientNode;
  const auto owner = detail::own_node(node);
  node->set_next_edges(torch::autograd::collect_next_edges(inputs));
  node->hold(inputs, std::move(gradient));
  torch::autograd::set_history(outputs, owner);
  return outputs;
}

/// Returns the backward of a scalar whose `gradients`, one per input, were computed together with
/// its value: it only multiplies them by the gradient of the scalar.
[[nodiscard]] inline GradientFunction times_output_gradient(std::vector<at::Tensor> gradients) {
  return [gradients = std::move(gradients)](const std::vector<at::Tensor>& inputs,
                                            const std::vector<at::Tensor>& output_gradients) {
    std::vector<at::Tensor> results;
    for (std::size_t i = 0; i < inputs.size(); ++i)
      results.push_back((gradients[i] * output_gradients[0].to(gradients[i].scalar_type()))
                            .to(inputs[i].scalar_type())
                            .view(inputs[i].sizes()));
    return results;
  };
}

}  // namespace contrapunto
