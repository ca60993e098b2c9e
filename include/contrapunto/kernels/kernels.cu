// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

// The only CUDA file of the library. CMake's contrapunto::cuda adds it to every target that links
// it.
#include "contrapunto/kernels/augment_images.cuh"
#include "contrapunto/kernels/normalize_images.cuh"
#include "contrapunto/kernels/pair_tiles.cuh"

namespace contrapunto::detail {

cudaError_t launch_augment_images(const AugmentImagesArguments& arguments, cudaStream_t stream) {
  switch (arguments.element) {
    case AugmentedElement::kUInt8:
      return launch_augment_images_to<std::uint8_t>(arguments, stream);
    case AugmentedElement::kFloat32:
      return launch_augment_images_to<float>(arguments, stream);
    case AugmentedElement::kBFloat16:
      return launch_augment_images_to<__nv_bfloat16>(arguments, stream);
    case AugmentedElement::kFloat16:
      return launch_augment_images_to<__half>(arguments, stream);
  }
  return cudaErrorInvalidValue;
}

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

cudaError_t launch_exp_sums(const ExpSumsArguments& arguments, cudaStream_t stream) {
  switch (arguments.kept_as) {
    case TileElement::kNone:
      return launch_exp_sums_keeping<NothingKept>(arguments, stream);
    case TileElement::kFloat32:
      return launch_exp_sums_keeping<float>(arguments, stream);
    case TileElement::kBFloat16:
      return launch_exp_sums_keeping<__nv_bfloat16>(arguments, stream);
    case TileElement::kFloat16:
      break;
  }
  return cudaErrorInvalidValue;
}

cudaError_t launch_gradient_tile(const GradientTileArguments& arguments, cudaStream_t stream) {
  switch (arguments.gradient_as) {
    case TileElement::kFloat32:
      return launch_gradient_tile_to<float>(arguments, stream);
    case TileElement::kBFloat16:
      return launch_gradient_tile_to<__nv_bfloat16>(arguments, stream);
    case TileElement::kFloat16:
      return launch_gradient_tile_to<__half>(arguments, stream);
    case TileElement::kNone:
      break;
  }
  return cudaErrorInvalidValue;
}

cudaError_t launch_sigmoid_tile(const SigmoidTileArguments& arguments, cudaStream_t stream) {
  switch (arguments.gradient_as) {
    case TileElement::kNone:
      return launch_sigmoid_tile_to<NothingKept>(arguments, stream);
    case TileElement::kFloat32:
      return launch_sigmoid_tile_to<float>(arguments, stream);
    case TileElement::kBFloat16:
      return launch_sigmoid_tile_to<__nv_bfloat16>(arguments, stream);
    case TileElement::kFloat16:
      return launch_sigmoid_tile_to<__half>(arguments, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace contrapunto::detail
