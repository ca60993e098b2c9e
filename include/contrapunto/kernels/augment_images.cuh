// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "contrapunto/kernels/detail/augment_image.hpp"
#include "contrapunto/kernels/detail/augment_images_launch.hpp"
#include "contrapunto/kernels/detail/from_float.cuh"

namespace contrapunto::detail {

inline constexpr unsigned kAugmentThreads = 512;

/// A block of threads as the team of augment_image().
struct BlockTeam {
  unsigned long long* sums;  // [kAugmentThreads / 32], shared memory

  __device__ std::uint32_t rank() const { return threadIdx.x; }
  __device__ std::uint32_t size() const { return kAugmentThreads; }
  __device__ void sync() const { __syncthreads(); }
  __device__ std::uint64_t sum(std::uint64_t value) const {
    unsigned long long all = value;
    for (int mask = 16; mask > 0; mask /= 2) all += __shfl_xor_sync(0xFFFFFFFF, all, mask);
    __syncthreads();  // Every thread has read the sums of an earlier call.
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = all;
    __syncthreads();
    all = 0;
    for (unsigned warp = 0; warp < kAugmentThreads / 32; ++warp) all += sums[warp];
    return all;
  }
};

/// Each block makes one image after another. Elements of floating point are normalized through a
/// table of the 256 levels of each channel, as on the host.
template <class Element>
__global__ void __launch_bounds__(kAugmentThreads)
    augment_images_by_block(AugmentImagesArguments a) {
  constexpr bool kNormalizes = !std::is_same_v<Element, std::uint8_t>;
  __shared__ unsigned long long sums[kAugmentThreads / 32];
  __shared__ Element levels[kNormalizes ? 3 * 256 : 1];
  if constexpr (kNormalizes)
    for (unsigned i = threadIdx.x; i < 3 * 256; i += kAugmentThreads)
      levels[i] = from_float<Element>((static_cast<float>(i % 256) / 255.0F - a.mean[i / 256]) /
                                      a.deviation[i / 256]);

  BlockTeam team{sums};
  const AugmentWorkspace space(a.is_cubic, a.size, a.most_width, a.most_height);
  std::uint8_t* memory = a.workspace + std::int64_t{blockIdx.x} * space.bytes();
  const std::int64_t plane = a.size * a.size;
  for (std::int64_t i = blockIdx.x; i < a.images; i += a.teams) {
    const AugmentRow& row = a.rows[i];
    Element* out = static_cast<Element*>(a.results) + row.image * 3 * plane;
    const auto write = [&](std::int64_t place, const std::uint8_t* pixel) {
      for (int c = 0; c < 3; ++c) {
        Element& to = out[a.channels_last ? 3 * place + c : c * plane + place];
        if constexpr (kNormalizes)
          to = levels[256 * c + pixel[c]];
        else
          to = pixel[c];
      }
    };
    augment_image(a.pixels + row.pixels, row, a.erased, a.is_cubic, space, memory, team, write);
  }
}

#ifdef __CUDACC__  // An emulation on the CPU has launches of its own.
template <class Element>
cudaError_t launch_augment_images_to(const AugmentImagesArguments& a, cudaStream_t stream) {
  augment_images_by_block<Element>
      <<<static_cast<unsigned>(a.teams), kAugmentThreads, 0, stream>>>(a);
  return cudaGetLastError();
}
#endif

}  // namespace contrapunto::detail
