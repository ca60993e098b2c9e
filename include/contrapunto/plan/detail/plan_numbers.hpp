// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "contrapunto/log/format.hpp"

namespace contrapunto::detail {

/// Formats 151277313 as "151.3 M".
[[nodiscard]] inline std::string in_millions(std::int64_t count) {
  return with_decimals(static_cast<double>(count) / 1e6, 1) + " M";
}

/// Returns `part` / `whole`, or 0 if `whole` is 0.
[[nodiscard]] inline double fraction_of(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0.0;
}

[[nodiscard]] inline std::string bytes_or_unknown(std::optional<double> bytes) {
  return bytes ? as_bytes(*bytes) : "unknown";
}

}  // namespace contrapunto::detail
