// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

namespace contrapunto {

/// Returns a 64-bit hash of `bytes` (FNV-1a), the same on every machine. `seed` is the hash of the
/// preceding bytes.
[[nodiscard]] inline std::int64_t hash_of(
    std::string_view bytes, std::int64_t seed = std::bit_cast<std::int64_t>(0xCBF29CE484222325U)) {
  auto hash = std::bit_cast<std::uint64_t>(seed);
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return std::bit_cast<std::int64_t>(hash);
}

}  // namespace contrapunto
