// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdint>
#include <iostream>

#include "contrapunto/data.hpp"

int main() {
  const std::array<std::uint8_t, 4> broken{0xFF, 0xD8, 0xFF, 0xE0};
  contrapunto::RgbImage image;
  try {
    contrapunto::decode_image(broken, image);
  } catch (const contrapunto::DataError& error) {
    std::cout << "a broken JPEG is refused: " << error.what() << '\n';
    return 0;
  }
  return 1;
}
