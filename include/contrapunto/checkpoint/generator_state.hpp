// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/Context.h>
#include <torch/cuda.h>

#include <string>

#include "contrapunto/autograd/rng_state.hpp"
#include "contrapunto/core/state.hpp"

namespace contrapunto {

/// Where LibTorch's default random number generators stand: "cpu" and, for each CUDA device of this
/// process, "cuda:0" and so on.
[[nodiscard]] inline State rng_state() {
  State state;
  state.tensors["cpu"] =
      detail::generator_state(at::globalContext().defaultGenerator(at::Device(at::kCPU)));
  for (c10::DeviceIndex i = 0; i < torch::cuda::device_count(); ++i)
    state.tensors["cuda:" + std::to_string(i)] =
        detail::generator_state(at::globalContext().defaultGenerator(at::Device(at::kCUDA, i)));
  return state;
}

/// Puts the generators back where `rng_state` found them. A run may move to a machine with other
/// devices: generators of devices that are not here are left out, those that `state` lacks stay.
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
