// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
// A program that was built without the component `distributed` and joins the ranks.
#include <iostream>

#include "contrapunto/distributed/join_ranks.hpp"

int main() {
  contrapunto::Ranks ranks;
  try {
    ranks = contrapunto::join_ranks({.device = "cpu"});
    std::cout << "alone: " << ranks.size() << " rank\n";
    ranks.sign_off();
  } catch (const std::exception& error) {
    std::cout << ranks.explain(error) << "\n";
  }
}
