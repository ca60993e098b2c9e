// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

// The interface between the host code and the CUDA file. It does not include Torch headers, with
// which nvcc takes ten times longer.
#include <driver_types.h>

#include <cstdint>

namespace contrapunto::detail {

enum class ImageElement { kFloat32, kBFloat16, kFloat16 };

/// Computes value = pixel * scale[c] + offset[c] for `images` images of three planes of `plane`
/// pixels.
struct NormalizeImagesArguments {
  const std::uint8_t* pixels = nullptr;
  void* values = nullptr;
  ImageElement element = ImageElement::kFloat32;
  bool channels_last = false;  ///< Memory format of both: [N, H, W, 3] if true, otherwise [N, 3, H,
                               ///< W].
  std::int64_t images = 0;
  std::int64_t plane = 0;  ///< H * W; 3 * plane must be below 2^27.
  float scale[3] = {1, 1, 1};
  float offset[3] = {0, 0, 0};
};

/// Launches the kernel on `stream` and returns the launch error.
cudaError_t launch_normalize_images(const NormalizeImagesArguments& arguments, cudaStream_t stream);

}  // namespace contrapunto::detail
