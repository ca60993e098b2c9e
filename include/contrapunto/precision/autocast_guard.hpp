// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/autocast_mode.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <optional>

#include "contrapunto/precision/precision_policy.hpp"

namespace contrapunto {

/// Sets autocast on this thread for one device type during its lifetime: on with the policy's
/// dtype, or off if the policy has none. Use it around the forward of the towers, and compute the
/// loss outside, in float32. Guards may be nested. The backward needs no guard, except in a custom
/// backward that recomputes a forward, because autograd's threads start with autocast off.
class AutocastGuard {
 public:
  /// `cache_weights` keeps the cast weights until the outermost guard ends. Turn it off while a
  /// CUDA graph is captured.
  [[nodiscard]] AutocastGuard(const PrecisionPolicy& policy, at::Device device,
                              bool cache_weights = true)
      : device_(device.type()),
        enabled_(at::autocast::is_autocast_enabled(device_)),
        cache_(at::autocast::is_autocast_cache_enabled()),
        dtype_(at::autocast::get_autocast_dtype(device_)) {
    at::autocast::set_autocast_enabled(device_, policy.autocast_dtype.has_value());
    if (policy.autocast_dtype) at::autocast::set_autocast_dtype(device_, *policy.autocast_dtype);
    at::autocast::set_autocast_cache_enabled(cache_weights);
    at::autocast::increment_nesting();
  }
  ~AutocastGuard() {
    // Casts that outlive the guard would still be used after the weights have changed.
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_cache_enabled(cache_);
    at::autocast::set_autocast_dtype(device_, dtype_);
    at::autocast::set_autocast_enabled(device_, enabled_);
  }
  AutocastGuard(const AutocastGuard&) = delete;
  AutocastGuard& operator=(const AutocastGuard&) = delete;

 private:
  at::DeviceType device_;
  bool enabled_;
  bool cache_;
  at::ScalarType dtype_;
};

}  // namespace contrapunto
