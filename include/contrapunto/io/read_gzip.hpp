// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifndef CONTRAPUNTO_HAS_TEXT
#error \
    "Contrapunto: reading gzip files needs the component `text` (it brings zlib): use \
find_package(Contrapunto COMPONENTS text) and link contrapunto::text"
#endif

#include <c10/util/Exception.h>
#include <zlib.h>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

namespace contrapunto {

/// Returns all bytes of the file `path`, decompressed if it is a gzip file and unchanged otherwise.
/// Raises if the file is missing, truncated or corrupt, or if it has more than 1 GiB of contents.
[[nodiscard]] inline std::string read_gzip(const std::filesystem::path& path) {
  constexpr std::size_t kLargest = std::size_t{1}
                                   << 30;  // A larger file is a mistake or a zip bomb.
  TORCH_CHECK(std::filesystem::is_regular_file(path), "cannot read '", path.string(),
              "': there is no such file");
  const std::unique_ptr<gzFile_s, decltype(&gzclose)> file(gzopen(path.c_str(), "rb"), &gzclose);
  TORCH_CHECK(file, "cannot open '", path.string(), "' for reading");
  std::string bytes;
  std::string buffer(std::size_t{1} << 16, '\0');
  for (;;) {
    const int read = gzread(file.get(), buffer.data(), static_cast<unsigned>(buffer.size()));
    if (read > 0) bytes.append(buffer, 0, static_cast<std::size_t>(read));
    if (read <= 0 || bytes.size() > kLargest) break;
  }
  int error = Z_OK;
  gzerror(file.get(), &error);
  TORCH_CHECK(error == Z_OK, "cannot read '", path.string(),
              "': its gzip stream is truncated or corrupt");
  TORCH_CHECK(bytes.size() <= kLargest, "cannot read '", path.string(),
              "': it has more than 1 GiB of contents");
  return bytes;
}

}  // namespace contrapunto
