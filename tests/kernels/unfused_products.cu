// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
// The functions of pixels and weights that must round on a device as on the host, for
// find_fused_products.py. With FUSED there is also a product that nvcc fuses with a sum.
#include "contrapunto/kernels/detail/augment_image.hpp"

using namespace contrapunto::detail;

__global__ void pixel_functions(std::uint8_t* pixels, const RowColorChange* changes,
                                const TeamTaps* taps, const double* numbers, bool is_cubic) {
  const unsigned i = threadIdx.x;
  change_color(pixels + 3 * i, changes[i], pixels[0]);
  pixels[i] = static_cast<std::uint8_t>(mean_luma(pixels[0], pixels[1]));
  pixels[i + 1] = noisy_level(numbers[0], numbers[1], numbers[2]);
  compute_taps(ResampleAxis(is_cubic, numbers[3], numbers[4], 224), 224, i, *taps);
  resample_pixel(pixels, 3, *taps, 224, i, pixels + 3 * i);
#ifdef FUSED
  pixels[i + 2] = static_cast<std::uint8_t>(numbers[5] * numbers[6] + numbers[7]);
#endif
}
