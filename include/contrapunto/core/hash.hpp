// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
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

/// 64 bits that tell whether `bytes` changed on a disk or on the way, the same on every machine and
/// several times faster than hash_of. Any change within one 8-byte word shows for certain. `seed`
/// is the checksum of what comes before. Not for an adversary.
[[nodiscard]] inline std::uint64_t checksum_of(std::string_view bytes, std::uint64_t seed = 0) {
  std::uint64_t sum = seed ^ bytes.size();
  for (std::size_t i = 0; i < bytes.size(); i += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, std::min(sizeof(word), bytes.size() - i));
    // Every step is a bijection of the sum, so a difference is never lost again. The multiplication
    // carries it to higher bits, and the shift to lower ones.
    sum = (sum ^ word) * 0x9E3779B97F4A7C15U;
    sum ^= sum >> 32;
  }
  return sum;
}

}  // namespace contrapunto
