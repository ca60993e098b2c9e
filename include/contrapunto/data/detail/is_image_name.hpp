// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cctype>
#include <filesystem>
#include <string>

namespace contrapunto::detail {

/// Whether `path` has the ending of an image that decode_image() reads, in any case.
[[nodiscard]] inline bool is_image_name(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const char* known : {".jpg", ".jpeg", ".png", ".webp", ".ppm"})
    if (extension == known) return true;
  return false;
}

}  // namespace contrapunto::detail
