// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
// Times the normalization of a batch of 256 images of 224 x 224, ours against ATen's operations.
// Prints one line of JSON per case.
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <contrapunto/kernels.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "median_seconds.hpp"

namespace cp = contrapunto;

namespace {}  // namespace

int main() {
  const torch::Device device(torch::cuda::is_available() ? torch::kCUDA : torch::kCPU);
  const int runs = device.is_cuda() ? 50 : 7;
  const std::array<double, 3> mean{0.48145466, 0.4578275, 0.40821073};
  const std::array<double, 3> deviation{0.26862954, 0.26130258, 0.27577711};
  for (const auto format : {torch::MemoryFormat::Contiguous, torch::MemoryFormat::ChannelsLast}) {
    const auto pixels =
        torch::randint(256, {256, 3, 224, 224}, torch::kUInt8).to(device).contiguous(format);
    for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
      const double ours = median_seconds(device, runs, [&] {
        return cp::normalize_images(pixels, mean, deviation, dtype, format);
      });
      const double aten = median_seconds(device, runs, [&] {
        return cp::detail::normalize_images_reference(pixels, mean, deviation, dtype, format);
      });
      const auto bytes = static_cast<double>(pixels.numel()) *
                         (1.0 + static_cast<double>(torch::elementSize(dtype)));
      std::cout << nlohmann::json{{"benchmark", "normalize_images"},
                                  {"device", device.str()},
                                  {"memory_format", c10::str(format)},
                                  {"dtype", torch::toString(dtype)},
                                  {"milliseconds", ours * 1e3},
                                  {"aten_milliseconds", aten * 1e3},
                                  {"gigabytes_per_second", bytes / ours / 1e9}}
                << "\n";
    }
  }
}
