// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/Context.h>
#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <mutex>
#include <utility>
#include <vector>

namespace contrapunto {

namespace detail {

inline void restore_generator(at::Generator generator, const at::Tensor& state) {
  const std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_state(state);
}

inline at::Tensor generator_state(at::Generator generator) {
  const std::lock_guard<std::mutex> lock(generator.mutex());
  return generator.get_state();
}

}  // namespace detail

/// Where the generators stand that a forward on one device draws from, so that it can be repeated
/// with the same dropout: LibTorch's default generator of the CPU and, for a CUDA device, its own.
/// Taking it costs a few microseconds and does not wait for the device. Not for use while a CUDA
/// graph is captured. For a checkpoint on disk see rng_state().
class RngState {
 public:
  /// Holds nothing; restoring it changes nothing.
  RngState() = default;

  /// The generators for work on `device` as they stand now; "cuda" without a number means the
  /// current device of this thread, and restoring goes to that same device later.
  [[nodiscard]] static RngState capture(at::Device device) {
    RngState state;
    state.add(at::globalContext().defaultGenerator(at::Device(at::kCPU)));
    if (device.is_cuda()) state.add(at::globalContext().defaultGenerator(device));
    return state;
  }

  /// Puts the generators back: what is drawn next is what was drawn after the capture.
  void restore() const {
    for (const auto& [generator, state] : states_) detail::restore_generator(generator, state);
  }

  /// Where the generators of this state stand now.
  [[nodiscard]] RngState recapture() const {
    RngState now;
    for (const auto& [generator, _] : states_) now.add(generator);
    return now;
  }

 private:
  void add(const at::Generator& generator) {
    states_.emplace_back(generator, detail::generator_state(generator));
  }

  std::vector<std::pair<at::Generator, at::Tensor>> states_;
};

/// While it lives the generators go on from `state`; afterwards they go on from where they stood
/// before, as if nothing had been drawn in between.
class RngScope {
 public:
  [[nodiscard]] explicit RngScope(const RngState& state) : before_(state.recapture()) {
    state.restore();
  }
  ~RngScope() { before_.restore(); }
  RngScope(const RngScope&) = delete;
  RngScope& operator=(const RngScope&) = delete;

 private:
  RngState before_;
};

}  // namespace contrapunto
