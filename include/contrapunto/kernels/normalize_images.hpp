// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <c10/util/Exception.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#ifdef CONTRAPUNTO_HAS_CUDA
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "contrapunto/kernels/detail/normalize_images_launch.hpp"
#endif

namespace contrapunto {

namespace detail {

/// The formula in plain ATen operations, on any device, as a reference for the faster versions.
inline at::Tensor normalize_images_reference(const at::Tensor& pixels,
                                             const std::array<double, 3>& mean,
                                             const std::array<double, 3>& deviation,
                                             at::ScalarType dtype, at::MemoryFormat format) {
  const auto per_channel = [&](const std::array<double, 3>& values) {
    return at::tensor(c10::ArrayRef<double>(values), at::TensorOptions(at::kFloat))
        .to(pixels.device())
        .view({1, 3, 1, 1});
  };
  return pixels.to(at::kFloat)
      .div_(255)
      .sub_(per_channel(mean))
      .div_(per_channel(deviation))
      .to(pixels.options().dtype(dtype), /*non_blocking=*/false, /*copy=*/false, format);
}

/// A byte has 256 values, so a table per channel holds every result, rounded once and exactly as in
/// the reference.
template <class Element>
void normalize_images_by_table(const at::Tensor& pixels, const std::array<double, 3>& mean,
                               const std::array<double, 3>& deviation, at::Tensor& values,
                               bool channels_last) {
  std::array<std::array<Element, 256>, 3> table;
  for (std::size_t c = 0; c < 3; ++c)
    for (std::size_t p = 0; p < 256; ++p)
      table[c][p] =
          static_cast<Element>((static_cast<float>(p) / 255.0F - static_cast<float>(mean[c])) /
                               static_cast<float>(deviation[c]));
  const std::uint8_t* from = pixels.const_data_ptr<std::uint8_t>();
  auto* to = values.mutable_data_ptr<Element>();
  const std::int64_t plane = pixels.size(2) * pixels.size(3);
  constexpr std::int64_t kGrain = 1 << 15;  // Elements; for fewer a second thread does not pay off.
  if (channels_last) {
    at::parallel_for(0, pixels.size(0) * plane, kGrain / 3, [&](std::int64_t i, std::int64_t end) {
      for (; i < end; ++i)
        for (std::int64_t c = 0; c < 3; ++c)
          to[3 * i + c] = table[static_cast<std::size_t>(c)][from[3 * i + c]];
    });
  } else {
    const std::int64_t grain = kGrain / plane + 1;
    at::parallel_for(0, pixels.size(0) * 3, grain, [&](std::int64_t row, std::int64_t end) {
      for (; row < end; ++row) {
        const auto& channel = table[static_cast<std::size_t>(row % 3)];
        for (std::int64_t i = row * plane; i < (row + 1) * plane; ++i) to[i] = channel[from[i]];
      }
    });
  }
}

#ifdef CONTRAPUNTO_HAS_CUDA
inline void normalize_images_cuda(const at::Tensor& pixels, const std::array<double, 3>& mean,
                                  const std::array<double, 3>& deviation, at::Tensor& values,
                                  bool channels_last) {
  NormalizeImagesArguments a;
  a.pixels = pixels.const_data_ptr<std::uint8_t>();
  a.values = values.mutable_data_ptr();
  a.element = values.scalar_type() == at::kFloat  ? ImageElement::kFloat32
              : values.scalar_type() == at::kHalf ? ImageElement::kFloat16
                                                  : ImageElement::kBFloat16;
  a.channels_last = channels_last;
  a.images = pixels.size(0);
  a.plane = pixels.size(2) * pixels.size(3);
  for (std::size_t c = 0; c < 3; ++c) {
    a.scale[c] = static_cast<float>(1.0 / (255.0 * deviation[c]));
    a.offset[c] = static_cast<float>(-mean[c] / deviation[c]);
  }
  const c10::cuda::CUDAGuard device(pixels.device());
  C10_CUDA_CHECK(launch_normalize_images(a, c10::cuda::getCurrentCUDAStream()));
}
#endif

}  // namespace detail

/// Computes (pixels / 255 - mean) / deviation per channel in one pass, which converts bytes to the
/// input of a tower.
///
/// `pixels` is uint8 [B, 3, H, W] in any memory format. The result has the same shape, the dtype
/// `dtype` (float32, bf16 or fp16) and the memory format `format`, and is dense. On the CPU every
/// value is that of the formula in float32, rounded once. The CUDA kernel is within 1e-6 of it
/// before rounding; it needs contrapunto::cuda, and other builds and devices use ATen operations.
/// There is no gradient. Copying the bytes to the device first and normalizing them there transfers
/// a quarter of the data of float32. Raises for another shape or dtype of `pixels`, for deviations
/// that are not positive and for an unsupported `dtype` or `format`.
inline at::Tensor normalize_images(const at::Tensor& pixels, const std::array<double, 3>& mean,
                                   const std::array<double, 3>& deviation,
                                   at::ScalarType dtype = at::kFloat,
                                   at::MemoryFormat format = at::MemoryFormat::Contiguous) {
  TORCH_CHECK(pixels.scalar_type() == at::kByte && pixels.dim() == 4 && pixels.size(1) == 3,
              "normalize_images: pixels are ", pixels.scalar_type(), " ", pixels.sizes(),
              ", expected uint8 [B, 3, H, W]");
  TORCH_CHECK(deviation[0] > 0 && deviation[1] > 0 && deviation[2] > 0,
              "normalize_images: deviation is (", deviation[0], ", ", deviation[1], ", ",
              deviation[2], "), expected three positive numbers");
  TORCH_CHECK(dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kHalf,
              "normalize_images: dtype is ", dtype, ", expected Float, BFloat16 or Half");
  TORCH_CHECK(format == at::MemoryFormat::Contiguous || format == at::MemoryFormat::ChannelsLast,
              "normalize_images: memory format is ", format,
              ", expected Contiguous or ChannelsLast");
  const bool channels_last = format == at::MemoryFormat::ChannelsLast;
  auto values = at::empty(pixels.sizes(), pixels.options().dtype(dtype), format);
  if (values.numel() == 0) return values;
  // A change of layout is cheapest on the bytes.
  const auto dense = pixels.contiguous(format);
  if (pixels.is_cpu()) {
    if (dtype == at::kFloat)
      detail::normalize_images_by_table<float>(dense, mean, deviation, values, channels_last);
    else if (dtype == at::kHalf)
      detail::normalize_images_by_table<at::Half>(dense, mean, deviation, values, channels_last);
    else
      detail::normalize_images_by_table<at::BFloat16>(dense, mean, deviation, values,
                                                      channels_last);
    return values;
  }
#ifdef CONTRAPUNTO_HAS_CUDA
  if (pixels.is_cuda() && 3 * pixels.size(2) * pixels.size(3) < (std::int64_t{1} << 27)) {
    detail::normalize_images_cuda(dense, mean, deviation, values, channels_last);
    return values;
  }
#endif
  return detail::normalize_images_reference(dense, mean, deviation, dtype, format);
}

}  // namespace contrapunto
