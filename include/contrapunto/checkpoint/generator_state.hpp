// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/Context.h>
#include <torch/cuda.h>

#include <string>

#include "contrapunto/autograd/rng_state.hpp"
#include "contrapunto/core/state.hpp"

namespace contrapunto {

/// Returns the states of LibTorch's default random number generators: "cpu" and, for each CUDA
/// device of this process, "cuda:0" and so on.
[[nodiscard]] inline State rng_state() {
  State state;
  state.tensors["cpu"] =
      detail::generator_state(at::globalContext().defaultGenerator(at::Device(at::kCPU)));
  for (c10::DeviceIndex i = 0; i < torch::cuda::device_count(); ++i)
    state.tensors["cuda:" + std::to_string(i)] =
        detail::generator_state(at::globalContext().defaultGenerator(at::Device(at::kCUDA, i)));
  return state;
}

/// Restores the generators to the states that `rng_state` returned. A run may resume on a machine
/// with other devices: states of missing devices are ignored, and generators that `state` lacks are
/// left unchanged. Raises if `state` has no "cpu".
inline void restore_rng_state(const State& state) {
  detail::restore_generator(at::globalContext().defaultGenerator(at::Device(at::kCPU)),
                            state.tensor("cpu"));
  for (c10::DeviceIndex i = 0; i < torch::cuda::device_count(); ++i) {
    const auto found = state.tensors.find("cuda:" + std::to_string(i));
    if (found != state.tensors.end())
      detail::restore_generator(at::globalContext().defaultGenerator(at::Device(at::kCUDA, i)),
                                found->second);
  }
}

}  // namespace contrapunto
