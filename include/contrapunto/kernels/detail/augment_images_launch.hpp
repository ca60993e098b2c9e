// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

// The interface between the host code and the CUDA file. It does not include Torch headers, with
// which nvcc takes ten times longer.
#include <driver_types.h>

#include <cstdint>

#include "contrapunto/kernels/detail/augment_row.hpp"

namespace contrapunto::detail {

enum class AugmentedElement { kUInt8, kFloat32, kBFloat16, kFloat16 };

/// Makes the images of `rows`, which all are in one piece. All pointers are to device memory.
struct AugmentImagesArguments {
  const std::uint8_t* pixels = nullptr;  ///< The piece.
  const AugmentRow* rows = nullptr;      ///< [images]
  const RowErasedBox* erased = nullptr;
  std::int64_t images = 0;
  std::int64_t size = 0;  ///< Side of the square in pixels.
  bool is_cubic = true;
  bool channels_last = false;   ///< Format of the results.
  std::int64_t most_width = 1;  ///< Of the images.
  std::int64_t most_height = 1;
  std::uint8_t* workspace = nullptr;  ///< AugmentWorkspace::bytes() for each of `teams`.
  std::int64_t teams = 1;             ///< Blocks of threads, each of which makes some images.
  void* results = nullptr;            ///< Of the whole batch; see AugmentRow::image.
  AugmentedElement element = AugmentedElement::kUInt8;
  float mean[3] = {0, 0, 0};  ///< Of the normalization, for elements of floating point.
  float deviation[3] = {1, 1, 1};
};

/// Launches the kernel on `stream` and returns the launch error.
cudaError_t launch_augment_images(const AugmentImagesArguments& arguments, cudaStream_t stream);

}  // namespace contrapunto::detail
