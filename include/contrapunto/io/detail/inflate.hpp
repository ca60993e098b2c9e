// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "contrapunto/core/data_error.hpp"

namespace contrapunto::detail {

/// The bits of a deflate stream, from the lowest bit of each byte.
class DeflateBits {
 public:
  explicit DeflateBits(std::string_view bytes) : bytes_(bytes) {}

  /// Returns the next `count` bits, at most 32, without consuming them; behind the end they are 0.
  [[nodiscard]] std::uint32_t peek(unsigned count) {
    while (held_ <= 56 && next_ < bytes_.size()) {
      hold_ |= std::uint64_t{static_cast<unsigned char>(bytes_[next_++])} << held_;
      held_ += 8;
    }
    return static_cast<std::uint32_t>(hold_ & ((std::uint64_t{1} << count) - 1));
  }

  /// Consumes `count` bits that were peeked at. Raises DataError if there are fewer.
  void skip(unsigned count) {
    if (count > held_) throw DataError("its compressed bytes end too early");
    hold_ >>= count;
    held_ -= count;
  }

  [[nodiscard]] std::uint32_t take(unsigned count) {
    const auto bits = peek(count);
    skip(count);
    return bits;
  }

  /// Copies `count` whole bytes to `to`, from the next whole byte on.
  void copy_bytes(char* to, std::size_t count) {
    if (count > bytes_.size() - next_) throw DataError("its compressed bytes end too early");
    std::copy_n(bytes_.data() + next_, count, to);
    next_ += count;
  }

  /// Drops the rest of a byte of which bits were consumed.
  void align() { skip(held_ % 8); }

  /// Returns the bytes that were read ahead; call it after align().
  void give_back() {
    next_ -= held_ / 8;
    hold_ = 0;
    held_ = 0;
  }

  /// Whether all bytes are consumed, but for the rest of the last one.
  [[nodiscard]] bool at_end() const { return next_ == bytes_.size() && held_ < 8; }

 private:
  std::string_view bytes_;
  std::size_t next_ = 0;
  std::uint64_t hold_ = 0;
  unsigned held_ = 0;  ///< Valid bits of `hold_`.
};

/// A canonical Huffman code of at most 15 bits.
class DeflateCode {
 public:
  /// `lengths` are the bits of each symbol, 0 for one that does not occur. Raises DataError if
  /// there are more codes than their lengths allow.
  explicit DeflateCode(const std::vector<unsigned>& lengths) {
    std::array<unsigned, kMost + 1> count{}, next{};
    for (const auto length : lengths) ++count[length];
    count[0] = 0;
    for (unsigned length = 1, code = 0; length <= kMost; ++length) {
      code = (code + count[length - 1]) << 1;
      next[length] = code;
      if (code + count[length] > 1U << length)
        throw DataError("its compressed bytes have an impossible code");
      if (count[length] > 0) most_ = length;
    }
    table_.assign(std::size_t{1} << most_, 0);
    for (std::size_t symbol = 0; symbol < lengths.size(); ++symbol) {
      const auto length = lengths[symbol];
      if (length == 0) continue;
      // The stream has the first bit of a code lowest.
      unsigned reversed = 0;
      for (unsigned bit = 0, code = next[length]++; bit < length; ++bit, code >>= 1)
        reversed = reversed << 1 | (code & 1U);
      for (std::size_t i = reversed; i < table_.size(); i += std::size_t{1} << length)
        table_[i] = static_cast<std::uint16_t>(symbol << 4 | length);
    }
  }

  /// Returns the next symbol. Raises DataError if there is none with these bits.
  [[nodiscard]] unsigned read(DeflateBits& bits) const {
    const unsigned entry = table_[bits.peek(most_)];
    if (entry == 0) throw DataError("its compressed bytes have an unknown code");
    bits.skip(entry & 15U);
    return entry >> 4;
  }

 private:
  static constexpr unsigned kMost = 15;
  unsigned most_ = 0;
  std::vector<std::uint16_t> table_;  ///< Symbol * 16 + length, by the next `most_` bits.
};

/// Reads the two codes of a block that brings its own: of literals and lengths, and of distances.
inline std::array<DeflateCode, 2> read_deflate_codes(DeflateBits& bits) {
  const auto literals = bits.take(5) + 257, distances = bits.take(5) + 1, given = bits.take(4) + 4;
  constexpr std::array<std::uint8_t, 19> kOrder{16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                11, 4,  12, 3, 13, 2, 14, 1, 15};
  std::vector<unsigned> lengths(kOrder.size(), 0);
  for (std::size_t i = 0; i < given; ++i) lengths[kOrder[i]] = bits.take(3);
  const DeflateCode code(lengths);
  lengths.clear();
  const std::size_t all = literals + distances;
  while (lengths.size() < all) {
    const auto symbol = code.read(bits);
    if (symbol < 16) {
      lengths.push_back(symbol);
      continue;
    }
    if (symbol == 16 && lengths.empty())
      throw DataError("its compressed bytes repeat a length that is missing");
    const auto repeated = symbol == 16 ? lengths.back() : 0;
    const auto times = symbol == 16   ? 3 + bits.take(2)
                       : symbol == 17 ? 3 + bits.take(3)
                                      : 11 + bits.take(7);
    lengths.insert(lengths.end(), times, repeated);
  }
  if (lengths.size() > all) throw DataError("its compressed bytes have too many lengths");
  const auto split = lengths.begin() + static_cast<std::ptrdiff_t>(literals);
  return {DeflateCode({lengths.begin(), split}), DeflateCode({split, lengths.end()})};
}

/// Decompresses `packed`, a deflate stream without a header, to the `size` bytes at `to`. Raises
/// DataError if the stream is damaged, or is one of fewer or more bytes.
/// Reference: RFC 1951, https://www.rfc-editor.org/rfc/rfc1951
inline void inflate(std::string_view packed, char* to, std::size_t size) {
  constexpr std::array<std::uint16_t, 29> kLengths{3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                                   15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                                   67, 83, 99, 115, 131, 163, 195, 227, 258};
  constexpr std::array<std::uint8_t, 29> kLengthBits{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                                     2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
  constexpr std::array<std::uint16_t, 30> kDistances{
      1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
      193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
  DeflateBits bits(packed);
  std::size_t made = 0;
  const auto need = [&](std::size_t count) {
    if (count > size - made) throw DataError("its compressed bytes hold more than its size");
  };
  bool last = false;
  while (!last) {
    last = bits.take(1) != 0;
    const auto kind = bits.take(2);
    if (kind == 0) {
      bits.align();
      const auto count = bits.take(16), complement = bits.take(16);
      if ((count ^ complement) != 0xFFFF)
        throw DataError("its compressed bytes have a damaged length");
      bits.give_back();
      need(count);
      bits.copy_bytes(to + made, count);
      made += count;
      continue;
    }
    if (kind == 3) throw DataError("its compressed bytes have an unknown kind of block");
    const auto codes = [&]() -> std::array<DeflateCode, 2> {
      if (kind == 2) return read_deflate_codes(bits);
      std::vector<unsigned> lengths(288, 8);
      std::fill(lengths.begin() + 144, lengths.begin() + 256, 9U);
      std::fill(lengths.begin() + 256, lengths.begin() + 280, 7U);
      return {DeflateCode(lengths), DeflateCode(std::vector<unsigned>(30, 5))};
    }();
    for (;;) {
      const auto symbol = codes[0].read(bits);
      if (symbol == 256) break;
      if (symbol < 256) {
        need(1);
        to[made++] = static_cast<char>(symbol);
        continue;
      }
      const std::size_t row = symbol - 257;
      if (row >= kLengths.size()) throw DataError("its compressed bytes have an unknown length");
      const std::size_t count = kLengths[row] + bits.take(kLengthBits[row]);
      const std::size_t column = codes[1].read(bits);
      if (column >= kDistances.size())
        throw DataError("its compressed bytes have an unknown distance");
      const auto distance_bits = static_cast<unsigned>(column < 2 ? 0 : column / 2 - 1);
      const std::size_t distance = kDistances[column] + bits.take(distance_bits);
      if (distance > made) throw DataError("its compressed bytes refer to bytes before the first");
      need(count);
      // The two ranges may overlap, in which case the bytes repeat.
      for (std::size_t i = 0; i < count; ++i, ++made) to[made] = to[made - distance];
    }
  }
  if (made != size || !bits.at_end())
    throw DataError("its compressed bytes do not end where its size says");
}

}  // namespace contrapunto::detail
