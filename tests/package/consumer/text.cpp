// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include <iostream>

#include "contrapunto/text.hpp"

int main() {
  try {
    std::cout << contrapunto::BpeTokenizer("no such vocabulary").encode("a dog").size() << '\n';
  } catch (const c10::Error& error) {
    std::cout << error.what_without_backtrace() << '\n';
    return 0;
  }
  return 1;
}
