// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_sub.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>

#include <cmath>
#include <cstdint>
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

namespace contrapunto {

struct AdamWOptions {
  double beta1 = 0.9;    ///< Decay of the mean of gradients, in [0, 1).
  double beta2 = 0.999;  ///< Decay of the mean of squared gradients, in [0, 1).
  double eps = 1e-8;     ///< Added to the square root of that mean.
};

/// Information from a loss scaler for a step. Both are a single float32 number on the parameters'
/// device.
struct StepScaling {
  std::optional<at::Tensor> grad_scale = std::nullopt;  ///< Divisor that is applied to the
                                                        ///< gradients first.
  std::optional<at::Tensor> found_inf =
      std::nullopt;  ///< If it is not 0, the step changes nothing.
};

/// AdamW on ATen's fused kernel, with one call per device, dtype, weight decay and learning rate
/// and without host synchronization. 16-bit parameters have float32 master copies. A step updates
/// these and rounds them to the parameters, so that a change below their resolution is not lost.
/// Parameters without a gradient are skipped, together with their moments and step counts. Create
/// it after the parameters have their final device and dtype and their initial values.
/// Reference: Loshchilov & Hutter 2017, https://arxiv.org/abs/1711.05101
class AdamW {
 public:
  /// Raises for options out of range, numbers of names and parameters that differ, and duplicates.
  explicit AdamW(const std::vector<ParameterGroup>& groups, AdamWOptions options = {})
      : o_(options) {
    TORCH_CHECK(
        o_.beta1 >= 0.0 && o_.beta1 < 1.0 && o_.beta2 >= 0.0 && o_.beta2 < 1.0 && o_.eps >= 0.0,
        "AdamW: beta1 (", o_.beta1, ") and beta2 (", o_.beta2, ") must be in [0, 1), and eps (",
        o_.eps, ") must be at least 0");
    for (const auto& group : groups) {
      TORCH_CHECK(group.parameters.size() == group.parameter_names.size(), "AdamW: group '",
                  group.name, "' has ", group.parameters.size(), " parameters but ",
                  group.parameter_names.size(), " names");
      TORCH_CHECK(group.weight_decay >= 0.0 && group.lr_multiplier >= 0.0, "AdamW: group '",
                  group.name, "' has weight_decay ", group.weight_decay, " and lr_multiplier ",
                  group.lr_multiplier, "; both must be at least 0");
      for (std::size_t i = 0; i < group.parameters.size(); ++i)
        add(group.parameter_names[i], group.parameters[i], group);
    }
    for (auto& bucket : buckets_) {
      bucket.counts = at::zeros({static_cast<std::int64_t>(bucket.names.size())},
                                bucket.masters.front().options().dtype(at::kFloat));
      bucket.steps = bucket.counts.unbind();
    }
  }

  /// Updates the parameters with the learning rate `lr` times the multiplier of each group. With
  /// `grad_scale` the gradients of 32-bit parameters are divided in place. Raises if `lr` is
  /// negative or not finite.
  void step(double lr, const StepScaling& scaling = {}) {
    TORCH_CHECK(std::isfinite(lr) && lr >= 0.0, "AdamW: the learning rate is ", lr,
                ", expected a finite number of at least 0");
    const at::NoGradGuard no_grad;
    std::optional<at::Tensor> skip;
    // The kernel only accepts 1, but a sum over ranks may be larger.
    if (scaling.found_inf) skip = scaling.found_inf->reshape({}).ne(0).to(at::kFloat);
    for (const auto& bucket : buckets_) {
      const auto ready = with_gradients(bucket);
      if (ready.parameters.empty()) continue;
      at::_foreach_add_(ready.steps, 1);
      at::_fused_adamw_(ready.masters, ready.gradients, ready.means, ready.squares,
                        /*max_exp_avg_sqs=*/{}, ready.steps, lr * bucket.lr_multiplier, o_.beta1,
                        o_.beta2, bucket.weight_decay, o_.eps, /*amsgrad=*/false,
                        /*maximize=*/false, scaling.grad_scale, skip);
      if (skip) at::_foreach_sub_(ready.steps, std::vector<at::Tensor>(ready.steps.size(), *skip));
      if (bucket.low_precision) at::_foreach_copy_(ready.parameters, ready.masters);
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

  /// Returns moments, master copies and step counts by parameter name. The tensors are those of the
  /// optimizer, not copies, so save them before the next step changes them.
  [[nodiscard]] State save_state() const {
    State state{own_tensors(), {}};
    for (const auto& bucket : buckets_) {
      const auto counts = bucket.counts.cpu();
      for (std::size_t i = 0; i < bucket.names.size(); ++i)
        state.scalars["step." + bucket.names[i]] =
            static_cast<std::int64_t>(counts.data_ptr<float>()[i]);
    }
    return state;
  }

  /// Restores the optimizer that saved `state`. 16-bit parameters are set from their master copies.
  /// Raises with a list of names if the state has other parameters, shapes or dtypes of master
  /// copies.
  void load_state(const State& state) {
    std::vector<at::Tensor> counts;
    for (const auto& bucket : buckets_) {
      counts.push_back(at::zeros(bucket.counts.sizes(), at::kFloat));
      for (std::size_t i = 0; i < bucket.names.size(); ++i)
        counts.back().data_ptr<float>()[i] =
            static_cast<float>(state.scalar<std::int64_t>("step." + bucket.names[i]));
    }
    detail::load_tensors("AdamW: the state belongs to another model or to other parameter groups",
                         own_tensors(), state.tensors);
    const at::NoGradGuard no_grad;
    for (std::size_t b = 0; b < buckets_.size(); ++b) {
      buckets_[b].counts.copy_(counts[b]);
      if (buckets_[b].low_precision)
        at::_foreach_copy_(buckets_[b].parameters, buckets_[b].masters);
    }
  }

  [[nodiscard]] const AdamWOptions& options() const { return o_; }

  /// The properties of the optimizer that a plan of the run uses.
  [[nodiscard]] OptimizerFacts facts() const {
    double bytes = 0.0, elements = 0.0;
    for (const auto& bucket : buckets_)
      for (const auto& master : bucket.masters) {
        const auto copies = bucket.low_precision ? 3.0 : 2.0;  // Two moments and the master copy.
        bytes += copies * static_cast<double>(master.numel() * master.element_size());
        elements += static_cast<double>(master.numel());
      }
    return {.name = "AdamW",
            .beta2 = o_.beta2,
            .bytes_per_parameter = elements > 0.0 ? bytes / elements : 0.0};
  }

 private:
  /// Parameters that are updated by one call of the kernel.
  struct Bucket {
    double weight_decay = 0.0;
    double lr_multiplier = 1.0;
    bool low_precision = false;
    std::vector<std::string> names = {};
    std::vector<at::Tensor> parameters = {};
    std::vector<at::Tensor> masters = {};  // For 32-bit parameters the parameters themselves.
    std::vector<at::Tensor> means = {};
    std::vector<at::Tensor> squares = {};
    at::Tensor counts = {};              // [parameters], float32, as the kernel requires.
    std::vector<at::Tensor> steps = {};  // Views of its elements.
    std::int64_t elements = 0;
  };

  struct Ready {
    std::vector<at::Tensor> parameters, masters, gradients, means, squares, steps;
  };

  // Float32 copies of 16-bit gradients exist during one call; this limits them to 64 MiB.
  static constexpr std::int64_t kLowPrecisionElements = std::int64_t{1} << 24;

  void add(const std::string& name, const at::Tensor& parameter, const ParameterGroup& group) {
    TORCH_CHECK(parameter.defined() && parameter.is_floating_point(), "AdamW: parameter '", name,
                "' is not a floating-point tensor");
    TORCH_CHECK(names_.insert(name).second && seen_.insert(parameter.unsafeGetTensorImpl()).second,
                "AdamW: parameter '", name, "' is given twice");
    const auto kind = parameter.scalar_type();
    const bool low = kind == at::kHalf || kind == at::kBFloat16;
    const auto fits = [&](const Bucket& b) {
      return b.weight_decay == group.weight_decay && b.lr_multiplier == group.lr_multiplier &&
             b.parameters.front().device() == parameter.device() &&
             b.parameters.front().scalar_type() == kind &&
             (!low || b.elements + parameter.numel() <= kLowPrecisionElements);
    };
    auto bucket = buckets_.begin();
    while (bucket != buckets_.end() && !fits(*bucket)) ++bucket;
    if (bucket == buckets_.end())
      bucket = buckets_.insert(bucket, Bucket{.weight_decay = group.weight_decay,
                                              .lr_multiplier = group.lr_multiplier,
                                              .low_precision = low});
    const auto master = low ? parameter.detach().to(at::kFloat) : parameter;
    bucket->names.push_back(name);
    bucket->parameters.push_back(parameter);
    bucket->masters.push_back(master);
    bucket->means.push_back(at::zeros_like(master.detach()));
    bucket->squares.push_back(at::zeros_like(master.detach()));
    bucket->elements += parameter.numel();
  }

  static Ready with_gradients(const Bucket& bucket) {
    Ready ready;
    for (std::size_t i = 0; i < bucket.names.size(); ++i) {
      const auto& parameter = bucket.parameters[i];
      const auto& master = bucket.masters[i];
      auto gradient = parameter.grad();
      if (!gradient.defined()) continue;
      TORCH_CHECK(
          parameter.device() == bucket.means[i].device() &&
              (parameter.scalar_type() == bucket.means[i].scalar_type()) != bucket.low_precision,
          "AdamW: parameter '", bucket.names[i], "' is now ", parameter.scalar_type(), " on ",
          parameter.device(), "; move and convert the model before creating the optimizer");
      // The kernel iterates over all tensors of a parameter in memory order.
      if (bucket.low_precision || gradient.strides() != master.strides()) {
        const auto widened = at::empty_like(master);
        if (!bucket.low_precision) widened.copy_(gradient);
        gradient = widened;
      }
      ready.parameters.push_back(parameter);
      ready.masters.push_back(master);
      ready.gradients.push_back(gradient);
      ready.means.push_back(bucket.means[i]);
      ready.squares.push_back(bucket.squares[i]);
      ready.steps.push_back(bucket.steps[i]);
    }
    if (bucket.low_precision) {
      std::vector<at::Tensor> narrow;
      for (const auto& parameter : ready.parameters) narrow.push_back(parameter.grad());
      if (!narrow.empty()) at::_foreach_copy_(ready.gradients, narrow);
    }
    return ready;
  }

  [[nodiscard]] TensorMap own_tensors() const {
    TensorMap tensors;
    for (const auto& bucket : buckets_)
      for (std::size_t i = 0; i < bucket.names.size(); ++i) {
        tensors["exp_avg." + bucket.names[i]] = bucket.means[i];
        tensors["exp_avg_sq." + bucket.names[i]] = bucket.squares[i];
        if (bucket.low_precision) tensors["master." + bucket.names[i]] = bucket.masters[i];
      }
    return tensors;
  }

  AdamWOptions o_;
  std::vector<Bucket> buckets_;
  std::set<std::string> names_;
  std::set<const void*> seen_;
};
static_assert(Stateful<AdamW>);

}  // namespace contrapunto
