// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <charconv>
#include <cstdint>
#include <limits>
#include <string>

namespace contrapunto {

/// The chunk size with which GradCache runs one forward and one backward, as FullBatch does.
inline constexpr std::int64_t kWholeBatch = std::numeric_limits<std::int64_t>::max();

/// Parses a chunk size: "none" is kWholeBatch, "auto" is 0, which measures a suitable size, and
/// anything else is a positive number of samples. Raises for any other text.
[[nodiscard]] inline std::int64_t parse_chunk_size(const std::string& text) {
  if (text == "none") return kWholeBatch;
  if (text == "auto") return 0;
  std::int64_t size = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
  TORCH_CHECK(error == std::errc() && end == text.data() + text.size() && size > 0,
              "a chunk size must be 'none', 'auto' or a number of samples above 0");
  return size;
}

}  // namespace contrapunto
