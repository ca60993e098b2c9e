// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/SequenceNumber.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/record_function.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/edge.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <unordered_set>
#include <utility>
#include <vector>

#include "contrapunto/autograd/custom_gradient.hpp"
#include "contrapunto/autograd/recompute_scope.hpp"
#include "contrapunto/autograd/rng_state.hpp"

namespace contrapunto {

namespace detail {

/// The autocast state of one device type on this thread.
struct AutocastState {
  explicit AutocastState(at::DeviceType device)
      : type(device), available(at::autocast::is_autocast_available(device)) {
    if (!available) return;
    enabled = at::autocast::is_autocast_enabled(type);
    dtype = at::autocast::get_autocast_dtype(type);
  }

  void apply() const {
    if (!available) return;
    at::autocast::set_autocast_enabled(type, enabled);
    at::autocast::set_autocast_dtype(type, dtype);
  }

  at::DeviceType type;
  bool available;
  bool enabled = false;
  at::ScalarType dtype = at::kFloat;
};

/// Sets autocast to `state` during its lifetime, without the cache of cast weights: a forward that
/// needs a graph must not find a weight that was cast without one.
class AutocastScope {
 public:
  explicit AutocastScope(const AutocastState& state)
      : before_(state.type), cache_(at::autocast::is_autocast_cache_enabled()) {
    state.apply();
    at::autocast::set_autocast_cache_enabled(false);
    at::autocast::increment_nesting();
  }
  ~AutocastScope() {
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_cache_enabled(cache_);
    before_.apply();
  }
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  AutocastState before_;
  bool cache_;
};

/// Everything that is needed to run a block again.
struct RepeatableBlock {
  RepeatableBlock(std::function<at::Tensor(const at::Tensor&)> f, at::Device device)
      : run(std::move(f)), autocast(device.type()), rng(RngState::capture(device)) {}

  std::function<at::Tensor(const at::Tensor&)> run;
  AutocastState autocast;
  RngState rng;
};

/// Redirects the gradients that the graph of `y` would add to `parameters` to `stand_ins` (an
/// undefined one discards the gradient). Hooks of a parameter thus see the total gradient of the
/// backward once, rather than the part of a single block. `first` is the sequence number before the
/// graph was recorded; older nodes do not belong to the graph.
inline void redirect_gradients(const at::Tensor& y, const at::Tensor& x,
                               const std::vector<at::Tensor>& parameters,
                               const std::vector<at::Tensor>& stand_ins, std::uint64_t first) {
  using torch::autograd::Edge;
  using torch::autograd::Node;
  using torch::autograd::impl::gradient_edge;
  if (!y.grad_fn()) return;
  std::map<std::pair<Node*, std::uint32_t>, Edge> ends;
  const auto end_at = [&](const at::Tensor& from, const Edge& to) {
    const auto edge = gradient_edge(from);
    ends[{edge.function.get(), edge.input_nr}] = to;
  };
  for (std::size_t i = 0; i < parameters.size(); ++i)
    end_at(parameters[i], stand_ins[i].defined() ? gradient_edge(stand_ins[i]) : Edge());
  if (x.requires_grad()) end_at(x, gradient_edge(x));

  const auto thread = at::RecordFunction::currentThreadId();
  std::vector<Node*> open{y.grad_fn().get()};
  std::unordered_set<Node*> seen(open.begin(), open.end());
  while (!open.empty()) {
    Node* node = open.back();
    open.pop_back();
    for (auto& edge : node->next_edges()) {
      if (!edge.is_valid()) continue;
      if (const auto end = ends.find({edge.function.get(), edge.input_nr}); end != ends.end()) {
        edge = end->second;
        continue;
      }
      Node* next = edge.function.get();
      const bool leaf = next->next_edges().empty();
      TORCH_CHECK(
          !leaf && next->thread_id() == thread && next->sequence_nr() >= first,
          "activation_checkpoint: the block reads a tensor of shape ",
          next->input_metadata(edge.input_nr).shape_as_dim_vector(),
          " that needs a gradient and is not among its parameters, so its gradient would be lost; "
          "pass it with `parameters`");
      if (seen.insert(next).second) open.push_back(next);
    }
  }
}

/// Computes the gradients of x and of the parameters (`saved`, in this order) by running the block
/// again.
inline std::vector<at::Tensor> replay_gradients(const RepeatableBlock& block, bool needs_x,
                                                const std::vector<at::Tensor>& saved,
                                                const at::Tensor& gradient) {
  std::vector<at::Tensor> result(saved.size());
  if (!gradient.defined()) return result;
  const auto x = saved.front().detach().requires_grad_(needs_x);
  const std::vector<at::Tensor> parameters(saved.begin() + 1, saved.end());
  std::vector<at::Tensor> wanted;
  if (needs_x) wanted.push_back(x);
  std::vector<at::Tensor> stand_ins;
  for (const auto& parameter : parameters)
    wanted.push_back(stand_ins.emplace_back(parameter.detach().requires_grad_()));

  const auto y = [&] {
    const at::AutoGradMode graph(true);
    const RngScope rng(block.rng);
    const AutocastScope autocast(block.autocast);
    const RecomputeScope replay;
    const auto first = at::sequence_number::peek();
    auto again = block.run(x);
    redirect_gradients(again, x, parameters, stand_ins, first);
    return again;
  }();
  if (!y.requires_grad()) return result;
  auto found = torch::autograd::grad({y}, wanted, {gradient}, /*retain_graph=*/std::nullopt,
                                     /*create_graph=*/false, /*allow_unused=*/true);
  std::move(found.begin(), found.end(), result.begin() + (needs_x ? 0 : 1));
  return result;
}

}  // namespace detail

/// Computes `block(x)`, keeps only `x` for the backward and runs the block again there. This costs
/// about a third more computation and needs a fraction of the memory, as torch.utils.checkpoint
/// does in Python. Values and gradients are those of the plain call: the second run uses the same
/// random numbers and the same autocast state, does not update running statistics (see
/// is_recomputing()), and hooks of parameters run once.
///
/// `parameters` are all tensors other than `x` that the block reads and that may need a gradient;
/// the backward raises if one is missing. Until the backward has run, the block must be a pure
/// function of `x`, the parameters and the random number generators, and must keep everything alive
/// that it refers to. If nothing needs a gradient or grad mode is off, this is the plain call.
/// There are no second derivatives. Do not use it while a CUDA graph is captured.
/// Reference: Chen et al. 2016, https://arxiv.org/abs/1604.06174
[[nodiscard]] inline at::Tensor activation_checkpoint(
    std::function<at::Tensor(const at::Tensor&)> block, const at::Tensor& x,
    const std::vector<at::Tensor>& parameters) {
  std::vector<at::Tensor> inputs{x};
  for (const auto& parameter : parameters)
    if (parameter.defined() && parameter.requires_grad()) inputs.push_back(parameter);
  if (!records_gradient(inputs)) return block(x);
  const auto repeatable =
      std::make_shared<const detail::RepeatableBlock>(std::move(block), x.device());
  const auto y = [&] {
    const at::NoGradGuard no_grad;
    const detail::AutocastScope autocast(repeatable->autocast);
    return repeatable->run(x);
  }();
  return with_gradient(
             inputs, {y},
             [repeatable, needs_x = x.requires_grad()](const std::vector<at::Tensor>& saved,
                                                       const std::vector<at::Tensor>& gradients) {
               return detail::replay_gradients(*repeatable, needs_x, saved, gradients.front());
             })
      .front();
}

}  // namespace contrapunto
