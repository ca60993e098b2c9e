// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include <torch/csrc/distributed/c10d/HashStore.hpp>

#include <iostream>

#include "contrapunto/distributed.hpp"

int main() {
  contrapunto::ProcessGroupOptions options;
  options.gloo_address = "127.0.0.1";
  const auto world =
      contrapunto::connect_gloo(c10::make_intrusive<c10d::HashStore>(), 0, 1, options);
  world.barrier();
  std::cout << "rank " << world.rank() << " of " << world.size() << '\n';
}
