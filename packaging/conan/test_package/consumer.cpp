// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include <ATen/ops/eye.h>

#include <iostream>

#include "contrapunto/loss.hpp"
#include "contrapunto/version.hpp"

int main() {
  const contrapunto::Embeddings embeddings{
      .x = at::eye(4), .y = at::eye(4), .scale = at::full({}, 20.0)};
  const auto loss = contrapunto::InfoNce()(embeddings).item<double>();
  std::cout << "contrapunto " << contrapunto::kVersion << ": the loss of four pairs is " << loss
            << '\n';
  return loss < 1e-6 ? 0 : 1;
}
