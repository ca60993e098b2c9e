// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <iostream>

#include "contrapunto/export.hpp"

int main() {
  contrapunto::GraphBuilder builder;
  const auto x = builder.input("x", at::kFloat, {-1, 3});
  builder.output("twice", builder.add(x, x));
  const auto path = std::filesystem::temp_directory_path() / "contrapunto_consumer.onnx";
  contrapunto::write_onnx(path, builder.graph());
  std::cout << "an ONNX file of " << std::filesystem::file_size(path) << " bytes\n";
  return std::filesystem::remove(path) ? 0 : 1;
}
