// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>

namespace contrapunto {

/// Returns all bytes of the file `path`. Raises if it is missing or cannot be read completely.
[[nodiscard]] inline std::string read_file(const std::filesystem::path& path) {
  TORCH_CHECK(std::filesystem::is_regular_file(path), "cannot read '", path.string(),
              "': there is no such file");
  std::ifstream file(path, std::ios::binary);
  TORCH_CHECK(file, "cannot open '", path.string(), "' for reading");
  std::string bytes(static_cast<std::size_t>(std::filesystem::file_size(path)), '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  TORCH_CHECK(file, "cannot read '", path.string(), "': it ended after ", file.gcount(), " of ",
              bytes.size(), " bytes");
  return bytes;
}

}  // namespace contrapunto
