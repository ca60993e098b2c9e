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

/// The states of the random number generators that a forward on one device uses: LibTorch's default
/// CPU generator and, for a CUDA device, the generator of that device. With it a forward can be
/// repeated with the same dropout. Capturing takes a few microseconds and does not synchronize with
/// the device. Do not use it while a CUDA graph is being captured. For checkpoints on disk see
/// rng_state().
class RngState {
 public:
  /// An empty state; restoring it changes nothing.
  RngState() = default;

  /// Captures the current states of the generators for work on `device`. "cuda" without an index
  /// means the current device of this thread, and restore() later restores that same device.
  [[nodiscard]] static RngState capture(at::Device device) {
    RngState state;
    state.add(at::globalContext().defaultGenerator(at::Device(at::kCPU)));
    if (device.is_cuda()) state.add(at::globalContext().defaultGenerator(device));
    return state;
  }

  /// Restores the generators: the next random numbers are those that were drawn after the capture.
  void restore() const {
    for (const auto& [generator, state] : states_) detail::restore_generator(generator, state);
  }

  /// Captures the current states of the same generators.
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

/// During its lifetime the generators continue from `state`. Afterward they continue from their
/// previous state, as if nothing had been drawn in between.
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
