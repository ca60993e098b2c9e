// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

/// Returns the median seconds of `runs` calls, after two warm-up calls.
template <class Call>
double median_seconds(const torch::Device& device, int runs, const Call& call) {
  std::vector<double> times;
  for (int run = 0; run < runs + 2; ++run) {
    const auto begin = std::chrono::steady_clock::now();
    call();
    if (device.is_cuda()) torch::cuda::synchronize();
    times.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  times.erase(times.begin(), times.begin() + 2);
  std::nth_element(times.begin(), times.begin() + runs / 2, times.end());
  return times[static_cast<std::size_t>(runs / 2)];
}
