// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "contrapunto/kernels/detail/from_float.cuh"
#include "contrapunto/kernels/detail/normalize_images_launch.hpp"

namespace contrapunto::detail {

inline constexpr unsigned kNormalizeThreads = 256;
inline constexpr unsigned kNormalizeBytesPerThread = 16;
inline constexpr unsigned kNormalizeBytesPerBlock = kNormalizeThreads * kNormalizeBytesPerThread;

struct ChannelAffine {
  float scale[3];
  float offset[3];

  // Selects instead of indexing, because an indexed kernel argument would be copied to local
  // memory.
  __device__ float operator()(std::uint8_t pixel, unsigned channel) const {
    const float a = channel == 0 ? scale[0] : channel == 1 ? scale[1] : scale[2];
    const float b = channel == 0 ? offset[0] : channel == 1 ? offset[1] : offset[2];
    return fmaf(static_cast<float>(pixel), a, b);
  }
};

// A segment is the range of one blockIdx.x: a plane, whose channel is fixed, or with channels last
// a whole image, whose channel repeats every three elements.
template <bool kChannelsLast>
__device__ unsigned channel_of(unsigned segment, unsigned position) {
  return kChannelsLast ? position % 3 : segment % 3;
}

/// Each thread reads 16 bytes and writes 16 bytes per access. An element is 2 or 4 times larger
/// than its pixel, so the pixels of a warp are passed through shared memory, and the stores of a
/// warp are contiguous like its loads. It needs 16-byte aligned pointers and `length` % 16 == 0.
template <class Element, bool kChannelsLast>
__global__ void __launch_bounds__(kNormalizeThreads)
    normalize_images_vectorized(const std::uint8_t* __restrict__ pixels,
                                Element* __restrict__ values, unsigned length,
                                ChannelAffine affine) {
  constexpr unsigned kPerStore = 16 / sizeof(Element);
  struct alignas(kPerStore) Pixels {
    std::uint8_t at[kPerStore];
  };
  struct alignas(16) Values {
    Element at[kPerStore];
  };
  __shared__ uint4 staged[kNormalizeThreads];

  const unsigned lane = threadIdx.x % 32;
  const unsigned warp_first = threadIdx.x - lane;
  const unsigned begin =
      blockIdx.y * kNormalizeBytesPerBlock + warp_first * kNormalizeBytesPerThread;
  const std::uint8_t* segment_pixels = pixels + std::size_t{blockIdx.x} * length;
  Element* segment_values = values + std::size_t{blockIdx.x} * length;

  const unsigned mine = begin + lane * kNormalizeBytesPerThread;
  if (mine < length)
    staged[threadIdx.x] = __ldcs(reinterpret_cast<const uint4*>(segment_pixels + mine));
  __syncwarp();

  const auto* warp_pixels = reinterpret_cast<const Pixels*>(staged + warp_first);
#pragma unroll
  for (unsigned k = 0; k < kNormalizeBytesPerThread / kPerStore; ++k) {
    const unsigned group = k * 32 + lane;
    const unsigned position = begin + group * kPerStore;
    if (position < length) {
      const Pixels p = warp_pixels[group];
      const unsigned first_channel = channel_of<kChannelsLast>(blockIdx.x, position);
      Values v;
#pragma unroll
      for (unsigned j = 0; j < kPerStore; ++j) {
        const unsigned channel = kChannelsLast ? (first_channel + j) % 3 : first_channel;
        v.at[j] = from_float<Element>(affine(p.at[j], channel));
      }
      *reinterpret_cast<Values*>(segment_values + position) = v;
    }
  }
}

/// For any alignment and length.
template <class Element, bool kChannelsLast>
__global__ void __launch_bounds__(kNormalizeThreads)
    normalize_images_elementwise(const std::uint8_t* __restrict__ pixels,
                                 Element* __restrict__ values, unsigned length,
                                 ChannelAffine affine) {
  const unsigned begin = blockIdx.y * kNormalizeBytesPerBlock;
  const std::size_t segment = std::size_t{blockIdx.x} * length;
#pragma unroll
  for (unsigned k = 0; k < kNormalizeBytesPerThread; ++k) {
    const unsigned position = begin + k * kNormalizeThreads + threadIdx.x;
    if (position < length)
      values[segment + position] = from_float<Element>(
          affine(pixels[segment + position], channel_of<kChannelsLast>(blockIdx.x, position)));
  }
}

template <class Element, bool kChannelsLast>
cudaError_t launch_normalize_images_as(const NormalizeImagesArguments& a, cudaStream_t stream) {
  const auto length = static_cast<unsigned>(kChannelsLast ? 3 * a.plane : a.plane);
  const auto segments = static_cast<unsigned>(kChannelsLast ? a.images : 3 * a.images);
  const dim3 blocks(segments, (length + kNormalizeBytesPerBlock - 1) / kNormalizeBytesPerBlock);
  ChannelAffine affine;
  for (int c = 0; c < 3; ++c) {
    affine.scale[c] = a.scale[c];
    affine.offset[c] = a.offset[c];
  }
  auto* values = static_cast<Element*>(a.values);
  const bool aligned = length % 16 == 0 && reinterpret_cast<std::uintptr_t>(a.pixels) % 16 == 0 &&
                       reinterpret_cast<std::uintptr_t>(a.values) % 16 == 0;
  if (aligned)
    normalize_images_vectorized<Element, kChannelsLast>
        <<<blocks, kNormalizeThreads, 0, stream>>>(a.pixels, values, length, affine);
  else
    normalize_images_elementwise<Element, kChannelsLast>
        <<<blocks, kNormalizeThreads, 0, stream>>>(a.pixels, values, length, affine);
  return cudaGetLastError();
}

template <class Element>
cudaError_t launch_normalize_images_to(const NormalizeImagesArguments& a, cudaStream_t stream) {
  return a.channels_last ? launch_normalize_images_as<Element, true>(a, stream)
                         : launch_normalize_images_as<Element, false>(a, stream);
}

}  // namespace contrapunto::detail
