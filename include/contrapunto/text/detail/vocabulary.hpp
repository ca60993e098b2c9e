// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifndef CONTRAPUNTO_HAS_TEXT
#error \
    "Contrapunto: the BPE tokenizer needs the component `text` (utf8proc and zlib): use \
find_package(Contrapunto COMPONENTS text) and link contrapunto::text"
#endif

#include <zlib.h>

#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>

namespace contrapunto::detail {

/// Text of a file that is gzip-compressed or plain. Plain C++ (no Torch): std::invalid_argument
/// says what is wrong with it.
inline std::string read_plain_or_gzip(const std::filesystem::path& path) {
  constexpr std::size_t kLargest = std::size_t{1} << 30;  // more is a mistake, or a bomb
  if (!std::filesystem::is_regular_file(path)) throw std::invalid_argument("there is no such file");
  const std::unique_ptr<gzFile_s, decltype(&gzclose)> file(gzopen(path.c_str(), "rb"), &gzclose);
  if (!file) throw std::invalid_argument("it cannot be opened");
  std::string text;
  std::string buffer(std::size_t{1} << 16, '\0');
  for (;;) {
    const int read = gzread(file.get(), buffer.data(), static_cast<unsigned>(buffer.size()));
    if (read > 0) text.append(buffer, 0, static_cast<std::size_t>(read));
    if (read <= 0 || text.size() > kLargest) break;
  }
  int error = Z_OK;
  gzerror(file.get(), &error);
  if (error != Z_OK) throw std::invalid_argument("its gzip stream is cut short or corrupt");
  if (text.size() > kLargest) throw std::invalid_argument("it holds more than 1 GiB of text");
  return text;
}

}  // namespace contrapunto::detail
