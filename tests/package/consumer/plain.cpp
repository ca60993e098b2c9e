// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include <ATen/ops/ones.h>

#include <iostream>

#include "contrapunto/core.hpp"
#include "contrapunto/version.hpp"

int main() {
  const contrapunto::Batch batch{{{"image", at::ones({4, 3, 2, 2})}}, {}};
  std::cout << "a batch of " << batch.size() << '\n';
  return batch.size() == 4 ? 0 : 1;
}
