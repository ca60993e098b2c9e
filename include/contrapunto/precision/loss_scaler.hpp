// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_amp_foreach_non_finite_check_and_unscale.h>
#include <ATen/ops/_amp_update_scale.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/state.hpp"
#include "contrapunto/precision/precision_policy.hpp"

namespace contrapunto {

struct LossScalerOptions {
  double initial_scale = 65536.0;
  double growth_factor = 2.0;           ///< Above 1.
  double backoff_factor = 0.5;          ///< Below 1; applied after a skipped step.
  std::int64_t growth_interval = 2000;  ///< Consecutive steps without overflow before the scale
                                        ///< grows.
};

/// Scales the loss so that fp16 gradients do not underflow, and adapts the scale: it grows after a
/// number of steps without overflow. After an overflow it shrinks, and the step is skipped. There
/// is no host synchronization. If the policy does not request a loss scaler, it changes nothing. A
/// step is:
///
///     scaler.scale(loss).backward();
///     const auto found_inf = scaler.unscale_(parameters);
///     optimizer.step(lr, {.found_inf = found_inf});
///     scaler.update();
///
/// Reference: Micikevicius et al. 2017, https://arxiv.org/abs/1710.03740
class LossScaler {
 public:
  LossScaler(const PrecisionPolicy& policy, at::Device device, LossScalerOptions options = {})
      : enabled_(policy.loss_scaler), o_(options) {
    TORCH_CHECK(o_.initial_scale > 0.0 && o_.growth_factor > 1.0 && o_.backoff_factor > 0.0 &&
                    o_.backoff_factor < 1.0 && o_.growth_interval > 0,
                "LossScaler: initial_scale (", o_.initial_scale, ") and growth_interval (",
                o_.growth_interval, ") must be above 0, growth_factor (", o_.growth_factor,
                ") above 1, backoff_factor (", o_.backoff_factor, ") in (0, 1)");
    if (!enabled_) return;
    scale_ = at::full({}, o_.initial_scale, at::TensorOptions(at::kFloat).device(device));
    growth_ = at::zeros({}, at::TensorOptions(at::kInt).device(device));
  }

  /// Whether the policy requests a loss scaler.
  [[nodiscard]] bool enabled() const { return enabled_; }

  /// Returns `loss` times the scale.
  [[nodiscard]] at::Tensor scale(const at::Tensor& loss) const {
    return enabled_ ? loss * scale_ : loss;
  }

  /// Divides the gradients of `parameters` by the scale. Returns [], float32, which is above 0 if
  /// any gradient is not finite, or nothing if disabled. If ranks hold different gradients, sum it
  /// over the ranks in place before `update()`. Call it once before each `update()`. Raises for
  /// fp16 gradients, which lose what the scale preserves: the weights must be float32.
  [[nodiscard]] std::optional<at::Tensor> unscale_(const std::vector<at::Tensor>& parameters) {
    if (!enabled_) return std::nullopt;
    TORCH_CHECK(!found_inf_.defined(), "LossScaler: unscale_() was called twice before update()");
    const at::NoGradGuard no_grad;
    std::map<at::ScalarType, std::vector<at::Tensor>> kinds;
    for (const auto& parameter : parameters) {
      const auto& gradient = parameter.grad();
      if (!gradient.defined()) continue;
      TORCH_CHECK(gradient.scalar_type() != at::kHalf, "LossScaler: a gradient ", gradient.sizes(),
                  " is fp16; keep the weights in float32 and compute under AutocastGuard");
      kinds[gradient.scalar_type()].push_back(gradient);
    }
    found_inf_ = at::zeros({}, scale_.options());
    const auto inverse = scale_.to(at::kDouble).reciprocal().to(at::kFloat);
    for (const auto& [_, gradients] : kinds)
      at::_amp_foreach_non_finite_check_and_unscale_(gradients, found_inf_, inverse);
    return found_inf_;
  }

  /// Grows or shrinks the scale according to the result of `unscale_()`. Raises without it.
  void update() {
    if (!enabled_) return;
    TORCH_CHECK(found_inf_.defined(),
                "LossScaler: update() was called without unscale_() before it");
    at::_amp_update_scale_(scale_, growth_, found_inf_, o_.growth_factor, o_.backoff_factor,
                           o_.growth_interval);
    found_inf_.reset();
  }

  /// Returns the scale as a number; 1 if disabled. It synchronizes with the device.
  [[nodiscard]] double current_scale() const { return enabled_ ? scale_.item<double>() : 1.0; }

  /// Saves the scale and the growth count; empty if disabled. It synchronizes with the device.
  [[nodiscard]] State save_state() const {
    if (!enabled_) return {};
    return {{}, {{"scale", current_scale()}, {"growth", growth_.item<std::int64_t>()}}};
  }

  /// Restores the scaler that saved `state`. A disabled scaler ignores the state, and an enabled
  /// one raises for the state of a disabled one.
  void load_state(const State& state) {
    if (!enabled_) return;
    const double scale = state.scalar<double>("scale");
    growth_.fill_(state.scalar<std::int64_t>("growth"));
    scale_.fill_(scale);
    found_inf_.reset();
  }

 private:
  bool enabled_;
  LossScalerOptions o_;
  at::Tensor scale_;      // [], float32
  at::Tensor growth_;     // [], int32, number of steps without overflow.
  at::Tensor found_inf_;  // [], float32, set between unscale_() and update().
};
static_assert(Stateful<LossScaler>);

}  // namespace contrapunto
