// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/grad_mode.h>
#include <c10/core/Device.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace contrapunto {

/// Returns the median time of `repeats` calls of `forward()` in seconds, after a call that is not
/// counted. It waits for `device` before and after each call. Gradients are off. `forward` returns
/// anything; put the model into eval mode. Raises unless `repeats` is positive.
template <class Forward>
[[nodiscard]] double forward_seconds(Forward&& forward, at::Device device,
                                     std::int64_t repeats = 5) {
  TORCH_CHECK(repeats > 0, "forward_seconds: repeats (", repeats, ") must be positive");
  const at::NoGradGuard no_grad;
  const auto wait = [device] {
    if (device.is_cpu()) return;
    const c10::impl::VirtualGuardImpl guard(device.type());
    guard.synchronizeDevice(device.has_index() ? device.index() : guard.getDevice().index());
  };
  std::vector<double> times;
  for (std::int64_t i = -1; i < repeats; ++i) {
    wait();
    const auto begin = std::chrono::steady_clock::now();
    static_cast<void>(forward());
    wait();
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    if (i >= 0) times.push_back(time.count());
  }
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

}  // namespace contrapunto
