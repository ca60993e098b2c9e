// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

// The one CUDA file of the library. CMake's contrapunto::cuda adds it to every target that links
// it.
#include "contrapunto/kernels/normalize_images.cuh"

namespace contrapunto::detail {

cudaError_t launch_normalize_images(const NormalizeImagesArguments& arguments,
                                    cudaStream_t stream) {
  switch (arguments.element) {
    case ImageElement::kFloat32:
      return launch_normalize_images_to<float>(arguments, stream);
    case ImageElement::kBFloat16:
      return launch_normalize_images_to<__nv_bfloat16>(arguments, stream);
    case ImageElement::kFloat16:
      return launch_normalize_images_to<__half>(arguments, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace contrapunto::detail
