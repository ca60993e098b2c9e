// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>

#include "contrapunto/io/detail/zip.hpp"

namespace contrapunto::detail {

/// Opens a file of weights for reading in parts. Raises, here and when it is read, with its path.
inline ByteSource file_bytes(const std::filesystem::path& path) {
  const auto stream = std::make_shared<std::ifstream>(path, std::ios::binary | std::ios::ate);
  TORCH_CHECK(*stream, "weights '", path.string(), "': cannot be opened");
  return {.size = static_cast<std::uint64_t>(std::max<std::int64_t>(stream->tellg(), 0)),
          .read = [stream, path](std::uint64_t offset, char* to, std::size_t count) {
            stream->seekg(static_cast<std::streamoff>(offset));
            stream->read(to, static_cast<std::streamsize>(count));
            TORCH_CHECK(*stream, "weights '", path.string(), "': cannot be read");
          }};
}

}  // namespace contrapunto::detail
