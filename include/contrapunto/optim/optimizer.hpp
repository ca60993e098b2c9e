// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_div.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/detail/load_tensors.hpp"
#include "contrapunto/core/run_facts.hpp"
#include "contrapunto/core/state.hpp"
#include "contrapunto/optim/parameter_group.hpp"
#include "contrapunto/optim/step_scaling.hpp"
#include "contrapunto/optim/update_rule.hpp"

namespace contrapunto {

/// Updates parameters by a rule, such as AdamWRule, in batches of one device, dtype, weight decay
/// and learning rate. 16-bit parameters have float32 master copies. A step updates these and rounds
/// them to the parameters, so that a change below their resolution is not lost. Parameters without
/// a gradient are skipped, together with their state and step counts. Create it after the
/// parameters have their final device and dtype and their initial values.
///
///   Optimizer optimizer(groups, LionRule{.beta2 = 0.98});  // or Lion optimizer(groups, {...})
template <class Rule>
class Optimizer {
  static_assert(UpdateRule<Rule>,
                "Optimizer<Rule>: Rule must have name(), check(), state_names(name, parameter) and "
                "update(batch); see contrapunto/optim/update_rule.hpp");

 public:
  /// Raises for options out of range, numbers of names and parameters that differ, and duplicates.
  explicit Optimizer(const std::vector<ParameterGroup>& groups, Rule rule = {})
      : rule_(std::move(rule)) {
    rule_.check();
    for (const auto& group : groups) {
      TORCH_CHECK(group.parameters.size() == group.parameter_names.size(), name(), ": group '",
                  group.name, "' has ", group.parameters.size(), " parameters but ",
                  group.parameter_names.size(), " names");
      TORCH_CHECK(group.weight_decay >= 0.0 && group.lr_multiplier >= 0.0, name(), ": group '",
                  group.name, "' has weight_decay ", group.weight_decay, " and lr_multiplier ",
                  group.lr_multiplier, "; both must be at least 0");
      for (std::size_t i = 0; i < group.parameters.size(); ++i)
        add(group.parameter_names[i], group.parameters[i], group);
    }
    for (auto& bucket : buckets_) {
      const auto options = at::TensorOptions(at::kFloat);
      bucket.counts =
          at::zeros({static_cast<std::int64_t>(bucket.names.size())},
                    options.device(takes_scaling() ? bucket.device : at::Device(at::kCPU)));
      bucket.steps = bucket.counts.unbind();
    }
  }

  /// Updates the parameters with the learning rate `lr` times the multiplier of each group. With
  /// `grad_scale` the gradients of 32-bit parameters are divided in place. The host waits for the
  /// device only if there is a `found_inf` and the rule is none that `takes_scaling()`. Raises if
  /// `lr` is negative or not finite.
  void step(double lr, const StepScaling& scaling = {}) {
    TORCH_CHECK(std::isfinite(lr) && lr >= 0.0, name(), ": the learning rate is ", lr,
                ", expected a finite number of at least 0");
    const at::NoGradGuard no_grad;
    const bool divides = !takes_scaling() && scaling.grad_scale;
    if (!takes_scaling() && scaling.found_inf && scaling.found_inf->item<float>() != 0.0F) return;
    for (const auto& bucket : buckets_) {
      auto ready = with_gradients(bucket);
      auto& batch = ready.batch;
      if (batch.weights.empty()) continue;
      batch.lr = lr * bucket.lr_multiplier;
      batch.weight_decay = bucket.weight_decay;
      if (takes_scaling()) batch.scaling = scaling;
      if (divides) at::_foreach_div_(batch.gradients, scaling.grad_scale->reshape({}));
      at::_foreach_add_(batch.steps, 1);
      rule_.update(batch);
      if (bucket.low_precision) at::_foreach_copy_(ready.parameters, batch.weights);
    }
  }

  /// Resets all gradients to undefined tensors.
  void zero_grad() {
    for (const auto& bucket : buckets_)
      for (const auto& parameter : bucket.parameters) parameter.mutable_grad().reset();
  }

  /// Returns the names of the parameters that a step would skip now.
  [[nodiscard]] std::vector<std::string> without_gradient() const {
    std::vector<std::string> names;
    for (const auto& bucket : buckets_)
      for (std::size_t i = 0; i < bucket.names.size(); ++i)
        if (!bucket.parameters[i].grad().defined()) names.push_back(bucket.names[i]);
    return names;
  }

  /// Returns all parameters that are optimized, for gradient clipping.
  [[nodiscard]] std::vector<at::Tensor> parameters() const {
    std::vector<at::Tensor> all;
    for (const auto& bucket : buckets_)
      all.insert(all.end(), bucket.parameters.begin(), bucket.parameters.end());
    return all;
  }

  /// Returns the rule's state, master copies and step counts by parameter name. The tensors are
  /// those of the optimizer, not copies, so save them before the next step changes them.
  [[nodiscard]] State save_state() const {
    State state{own_tensors(), {}};
    for (const auto& bucket : buckets_) {
      const auto counts = bucket.counts.cpu();
      for (std::size_t i = 0; i < bucket.names.size(); ++i)
        state.scalars["step." + bucket.names[i]] =
            static_cast<std::int64_t>(counts.template data_ptr<float>()[i]);
    }
    return state;
  }

  /// Restores the optimizer that saved `state`. 16-bit parameters are set from their master copies.
  /// Raises with a list of names if the state has other parameters, shapes or dtypes of master
  /// copies, or belongs to a rule with other tensors of state.
  void load_state(const State& state) {
    std::vector<at::Tensor> counts;
    for (const auto& bucket : buckets_) {
      counts.push_back(at::zeros(bucket.counts.sizes(), at::kFloat));
      for (std::size_t i = 0; i < bucket.names.size(); ++i)
        counts.back().template data_ptr<float>()[i] =
            static_cast<float>(state.template scalar<std::int64_t>("step." + bucket.names[i]));
    }
    detail::load_tensors(name() +
                             ": the state belongs to another model, to other parameter groups "
                             "or to another optimizer",
                         own_tensors(), state.tensors);
    const at::NoGradGuard no_grad;
    for (std::size_t b = 0; b < buckets_.size(); ++b) {
      buckets_[b].counts.copy_(counts[b]);
      if (buckets_[b].low_precision)
        at::_foreach_copy_(buckets_[b].parameters, buckets_[b].masters);
    }
  }

  [[nodiscard]] const Rule& rule() const { return rule_; }

  /// The properties of the optimizer that a plan of the run uses.
  [[nodiscard]] OptimizerFacts facts() const {
    double bytes = 0.0, elements = 0.0;
    for (const auto& bucket : buckets_)
      for (const auto& master : bucket.masters) {
        const auto copies = bucket.state.size() + (bucket.low_precision ? 1 : 0);
        bytes += static_cast<double>(copies) *
                 static_cast<double>(master.numel() * master.element_size());
        elements += static_cast<double>(master.numel());
      }
    OptimizerFacts facts{.name = name(),
                         .bytes_per_parameter = elements > 0.0 ? bytes / elements : 0.0};
    if constexpr (requires { rule_.squares_decay(); }) facts.beta2 = rule_.squares_decay();
    return facts;
  }

 private:
  /// Parameters that are updated by one call of the rule.
  struct Bucket {
    double weight_decay = 0.0;
    double lr_multiplier = 1.0;
    at::Device device = at::kCPU;
    at::ScalarType kind = at::kFloat;
    bool low_precision = false;
    std::vector<std::string> names = {};
    std::vector<at::Tensor> parameters = {};
    std::vector<at::Tensor> masters = {};  // For 32-bit parameters the parameters themselves.
    std::map<std::string, std::vector<at::Tensor>> state = {};
    at::Tensor counts = {};              // [parameters], float32, as ATen's fused kernels require.
    std::vector<at::Tensor> steps = {};  // Views of its elements.
    std::int64_t elements = 0;
  };

  struct Ready {
    std::vector<at::Tensor> parameters;
    UpdateBatch batch;
  };

  // Float32 copies of 16-bit gradients, and what a rule computes before it updates weights, exist
  // during one call; this limits each of them to 64 MiB.
  static constexpr std::int64_t kBatchElements = std::int64_t{1} << 24;

  [[nodiscard]] std::string name() const { return rule_.name(); }

  [[nodiscard]] bool takes_scaling() const {
    if constexpr (requires { rule_.takes_scaling(); })
      return rule_.takes_scaling();
    else
      return false;
  }

  void add(const std::string& parameter_name, const at::Tensor& parameter,
           const ParameterGroup& group) {
    TORCH_CHECK(parameter.defined() && parameter.is_floating_point(), name(), ": parameter '",
                parameter_name, "' is not a floating-point tensor");
    TORCH_CHECK(names_.insert(parameter_name).second &&
                    seen_.insert(parameter.unsafeGetTensorImpl()).second,
                name(), ": parameter '", parameter_name, "' is given twice");
    const auto kind = parameter.scalar_type();
    const bool low = kind == at::kHalf || kind == at::kBFloat16;
    std::map<std::string, std::vector<at::Tensor>> state;
    for (const auto& tensor : rule_.state_names(parameter_name, parameter)) state[tensor] = {};
    const auto same_state = [&](const Bucket& b) {
      for (const auto& [tensor, _] : state)
        if (!b.state.contains(tensor)) return false;
      return b.state.size() == state.size();
    };
    const auto fits = [&](const Bucket& b) {
      return b.weight_decay == group.weight_decay && b.lr_multiplier == group.lr_multiplier &&
             b.device == parameter.device() && b.kind == kind && same_state(b) &&
             ((!low && takes_scaling()) || b.elements + parameter.numel() <= kBatchElements);
    };
    auto bucket = buckets_.begin();
    while (bucket != buckets_.end() && !fits(*bucket)) ++bucket;
    if (bucket == buckets_.end())
      bucket = buckets_.insert(bucket, Bucket{.weight_decay = group.weight_decay,
                                              .lr_multiplier = group.lr_multiplier,
                                              .device = parameter.device(),
                                              .kind = kind,
                                              .low_precision = low,
                                              .state = std::move(state)});
    const auto master = low ? parameter.detach().to(at::kFloat) : parameter;
    bucket->names.push_back(parameter_name);
    bucket->parameters.push_back(parameter);
    bucket->masters.push_back(master);
    for (auto& [_, tensors] : bucket->state) tensors.push_back(at::zeros_like(master.detach()));
    bucket->elements += parameter.numel();
  }

  /// Returns the parameters of `bucket` that have a gradient, and the gradients in their memory
  /// order.
  Ready with_gradients(const Bucket& bucket) const {
    Ready ready;
    auto& batch = ready.batch;
    for (const auto& [tensor, _] : bucket.state) batch.state[tensor] = {};
    for (std::size_t i = 0; i < bucket.names.size(); ++i) {
      const auto& parameter = bucket.parameters[i];
      const auto& master = bucket.masters[i];
      auto gradient = parameter.grad();
      if (!gradient.defined()) continue;
      TORCH_CHECK(parameter.device() == bucket.device && parameter.scalar_type() == bucket.kind,
                  name(), ": parameter '", bucket.names[i], "' is now ", parameter.scalar_type(),
                  " on ", parameter.device(),
                  "; move and convert the model before creating the optimizer");
      // The kernels iterate over all tensors of a parameter in memory order.
      if (bucket.low_precision || gradient.strides() != master.strides()) {
        const auto widened = at::empty_like(master);
        if (!bucket.low_precision) widened.copy_(gradient);
        gradient = widened;
      }
      ready.parameters.push_back(parameter);
      batch.names.push_back(bucket.names[i]);
      batch.weights.push_back(master);
      batch.gradients.push_back(gradient);
      batch.steps.push_back(bucket.steps[i]);
      for (const auto& [tensor, all] : bucket.state) batch.state[tensor].push_back(all[i]);
    }
    if (bucket.low_precision) {
      std::vector<at::Tensor> narrow;
      for (const auto& parameter : ready.parameters) narrow.push_back(parameter.grad());
      if (!narrow.empty()) at::_foreach_copy_(batch.gradients, narrow);
    }
    return ready;
  }

  [[nodiscard]] TensorMap own_tensors() const {
    TensorMap tensors;
    for (const auto& bucket : buckets_)
      for (std::size_t i = 0; i < bucket.names.size(); ++i) {
        for (const auto& [tensor, all] : bucket.state)
          tensors[tensor + "." + bucket.names[i]] = all[i];
        if (bucket.low_precision) tensors["master." + bucket.names[i]] = bucket.masters[i];
      }
    return tensors;
  }

  Rule rule_;
  std::vector<Bucket> buckets_;
  std::set<std::string> names_;
  std::set<const void*> seen_;
};

}  // namespace contrapunto
