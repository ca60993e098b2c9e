// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>

#include <fstream>
#include <limits>
#include <string>

#ifdef CONTRAPUNTO_HAS_CUDA
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <cuda_runtime_api.h>
#endif

namespace contrapunto {

/// Returns the bytes that a program may still allocate on `device`: the kernel's available memory
/// on the CPU, and the driver's free memory on a GPU (with contrapunto::cuda). Returns 0 if
/// unknown.
[[nodiscard]] inline double free_memory_bytes(c10::Device device) {
  if (device.is_cpu()) {
    std::ifstream lines("/proc/meminfo");
    for (std::string name; lines >> name;) {
      if (name == "MemAvailable:") {
        double kibibytes = 0.0;
        lines >> kibibytes;
        return 1024.0 * kibibytes;
      }
      lines.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
    }
  }
#ifdef CONTRAPUNTO_HAS_CUDA
  if (device.is_cuda()) {
    const c10::cuda::CUDAGuard on(device);
    std::size_t free = 0, total = 0;
    C10_CUDA_CHECK(cudaMemGetInfo(&free, &total));
    return static_cast<double>(free);
  }
#endif
  return 0.0;
}

}  // namespace contrapunto
