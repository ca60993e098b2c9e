// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include <ATen/Context.h>
#include <ATen/ops/full.h>

#include <iostream>

#include "contrapunto/kernels.hpp"

int main() {
  const auto device = at::globalContext().hasCUDA() ? at::kCUDA : at::kCPU;
  const auto pixels = at::full({1, 3, 8, 8}, 255, at::TensorOptions(at::kByte).device(device));
  const auto values = contrapunto::normalize_images(pixels, {0.5, 0.5, 0.5}, {0.5, 0.5, 0.5});
  std::cout << "white on " << device << " is " << values.mean().item<float>() << '\n';
  return values.mean().item<float>() == 1.0F ? 0 : 1;
}
