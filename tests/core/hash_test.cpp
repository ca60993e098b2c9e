// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/core/hash.hpp"

#include <cstdint>
#include <set>
#include <string>

#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("A hash is FNV-1a, piece by piece", "[core][cpu]") {
  // From the authors' test vectors of FNV-1a with 64 bits.
  CHECK(static_cast<std::uint64_t>(hash_of("")) == 0xCBF29CE484222325U);
  CHECK(static_cast<std::uint64_t>(hash_of("foobar")) == 0x85944171F73967E8U);
  CHECK(hash_of("bar", hash_of("foo")) == hash_of("foobar"));
}

TEST_CASE("Every flipped bit, lost byte and exchange of words changes a checksum", "[core][cpu]") {
  std::string bytes;
  for (int i = 0; i < 61; ++i) bytes += static_cast<char>(i * 37);
  std::set<std::uint64_t> seen = {checksum_of(bytes)};
  const auto is_new = [&](const std::string& changed) {
    return seen.insert(checksum_of(changed)).second;
  };
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    auto changed = bytes;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    INFO("bit " << bit);
    CHECK(is_new(changed));
  }
  for (std::size_t length = 0; length < bytes.size(); ++length)
    CHECK(is_new(bytes.substr(0, length)));
  CHECK(is_new(bytes + '\0'));
  CHECK(is_new(bytes.substr(8, 8) + bytes.substr(0, 8) + bytes.substr(16)));
  CHECK(checksum_of("b", checksum_of("a")) != checksum_of("a", checksum_of("b")));
}
