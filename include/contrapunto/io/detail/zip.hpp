// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/io/detail/inflate.hpp"

namespace contrapunto::detail {

/// A file of known size that is read in parts. `read` copies bytes that must lie inside the file.
struct ByteSource {
  std::uint64_t size = 0;
  std::function<void(std::uint64_t offset, char* to, std::size_t count)> read;

  /// Returns `count` bytes at `offset`. Raises DataError, before anything is allocated, if the file
  /// does not have them.
  [[nodiscard]] std::string bytes(std::uint64_t offset, std::uint64_t count) const {
    if (offset > size || count > size - offset)
      throw DataError("bytes " + std::to_string(offset) + " to " + std::to_string(offset) + " + " +
                      std::to_string(count) + " lie outside the file of " + std::to_string(size) +
                      " bytes; it is damaged or truncated");
    std::string result(static_cast<std::size_t>(count), '\0');
    read(offset, result.data(), result.size());
    return result;
  }
};

/// CRC-32 of zip files. `before` is that of the preceding bytes.
inline std::uint32_t crc32_of(std::string_view bytes, std::uint32_t before = 0) {
  // Entry [k][b] is the CRC of byte b followed by k zeros, so that eight bytes take one step.
  static constexpr auto kTable = [] {
    std::array<std::array<std::uint32_t, 256>, 8> table{};
    for (std::uint32_t b = 0; b < 256; ++b) {
      std::uint32_t crc = b;
      for (int bit = 0; bit < 8; ++bit) crc = (crc & 1U) ? 0xEDB88320U ^ (crc >> 1) : crc >> 1;
      table[0][b] = crc;
    }
    for (std::size_t k = 1; k < 8; ++k)
      for (std::uint32_t b = 0; b < 256; ++b)
        table[k][b] = table[0][table[k - 1][b] & 0xFFU] ^ (table[k - 1][b] >> 8);
    return table;
  }();
  std::uint32_t crc = ~before;
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    std::array<unsigned char, 8> word{};
    std::memcpy(word.data(), bytes.data() + i, 8);
    for (std::size_t k = 0; k < 4; ++k)
      word[k] = static_cast<unsigned char>(word[k] ^ ((crc >> (8 * k)) & 0xFFU));
    crc = 0;
    for (std::size_t k = 0; k < 8; ++k) crc ^= kTable[7 - k][word[k]];
  }
  for (; i < bytes.size(); ++i)
    crc = kTable[0][(crc ^ static_cast<unsigned char>(bytes[i])) & 0xFFU] ^ (crc >> 8);
  return ~crc;
}

/// A file in a zip archive.
struct ZipEntry {
  std::uint64_t header = 0;  ///< Offset of its local header from the start of the archive.
  std::uint64_t size = 0;    ///< Size of the content in bytes.
  std::uint32_t crc32 = 0;   ///< Of the content; 0: not recorded.
  std::uint64_t packed = 0;  ///< Size in the archive, which is another if it is deflated.
  bool deflated = false;
  const char* problem = nullptr;  ///< Why it cannot be read: compressed or encrypted.
};

/// Reads little-endian numbers of a record. The record must be long enough.
template <class Number>
Number zip_number(std::string_view record, std::size_t at) {
  Number value = 0;
  for (std::size_t i = 0; i < sizeof(Number); ++i)
    value = static_cast<Number>(
        value | static_cast<Number>(
                    static_cast<Number>(static_cast<unsigned char>(record.at(at + i))) << (8 * i)));
  return value;
}

/// Returns the entries of the zip archive in `file` by name, in the zip64 format too. Raises
/// DataError if the archive is damaged and if two entries have one name. Entries that are deflated
/// can be read if `compressed` is set. The entries that can be read are together no larger than the
/// file, so that reading each of them once takes no more memory than the file is long; with
/// `compressed`, no more than 1032 times as much, which is the most that deflate can save.
inline std::map<std::string, ZipEntry> list_zip(const ByteSource& file, bool compressed = false) {
  const auto u16 = [](std::string_view r, std::size_t at) {
    return zip_number<std::uint16_t>(r, at);
  };
  const auto u32 = [](std::string_view r, std::size_t at) {
    return zip_number<std::uint32_t>(r, at);
  };
  const auto u64 = [](std::string_view r, std::size_t at) {
    return zip_number<std::uint64_t>(r, at);
  };
  constexpr std::uint64_t kEnd = 22, kLocator = 20, kEnd64 = 56, kComment = 65535;
  const auto tail_size = std::min(file.size, kEnd + kComment);
  const auto tail = file.bytes(file.size - tail_size, tail_size);
  const auto at = tail.rfind("PK\x05\x06");
  if (at == std::string::npos || tail.size() - at < kEnd)
    throw DataError("has no list of its parts at its end; it is truncated, or is no zip archive");
  const auto end = std::string_view(tail).substr(at);
  std::uint64_t count = u16(end, 10), bytes = u32(end, 12), begin = u32(end, 16);
  const auto end_offset = file.size - tail_size + at;
  if (count == 0xFFFF || bytes == 0xFFFFFFFF || begin == 0xFFFFFFFF) {
    if (end_offset < kLocator) throw DataError("has a damaged list of its parts");
    const auto locator = file.bytes(end_offset - kLocator, kLocator);
    if (!locator.starts_with("PK\x06\x07")) throw DataError("has a damaged list of its parts");
    const auto end64 = file.bytes(u64(locator, 8), kEnd64);
    if (!end64.starts_with("PK\x06\x06")) throw DataError("has a damaged list of its parts");
    count = u64(end64, 32);
    bytes = u64(end64, 40);
    begin = u64(end64, 48);
  }
  const auto list = file.bytes(begin, bytes);
  std::map<std::string, ZipEntry> entries;
  std::uint64_t sum = 0;
  std::size_t offset = 0;
  constexpr std::size_t kRecord = 46;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (list.size() - offset < kRecord || list.compare(offset, 4, "PK\x01\x02") != 0)
      throw DataError("has a damaged list of its parts: entry " + std::to_string(i) + " of " +
                      std::to_string(count) + " is missing");
    const auto record = std::string_view(list).substr(offset);
    const std::size_t name_size = u16(record, 28), extra_size = u16(record, 30);
    const std::size_t whole = kRecord + name_size + extra_size + u16(record, 32);
    if (record.size() < whole)
      throw DataError("has a damaged list of its parts: entry " + std::to_string(i) +
                      " is cut off");
    const std::string name(record.substr(kRecord, name_size));
    ZipEntry entry{.header = u32(record, 42), .size = u32(record, 24), .crc32 = u32(record, 16)};
    entry.packed = u32(record, 20);
    // The extra field holds the 8-byte numbers that did not fit, in this order.
    auto extra = record.substr(kRecord + name_size, extra_size);
    while (extra.size() >= 4) {
      const std::size_t field_size = u16(extra, 2);
      if (extra.size() - 4 < field_size) break;
      if (u16(extra, 0) == 1) {
        std::size_t next = 4;
        for (auto* number : {&entry.size, &entry.packed, &entry.header})
          if (*number == 0xFFFFFFFF) {
            if (next + 8 > 4 + field_size)
              throw DataError("part '" + name + "' has a damaged entry");
            *number = u64(extra, next);
            next += 8;
          }
      }
      extra.remove_prefix(4 + field_size);
    }
    constexpr std::uint64_t kMostSaved = 1032;
    entry.deflated = u16(record, 10) == 8;
    if (u16(record, 8) & 1U)
      entry.problem = "encrypted";
    else if (entry.deflated ? !compressed : u16(record, 10) != 0 || entry.packed != entry.size)
      entry.problem = "compressed";
    if (entry.problem == nullptr && entry.packed > file.size - std::min(sum, file.size))
      throw DataError("part '" + name + "' has " + std::to_string(entry.packed) +
                      " bytes, more than the file of " + std::to_string(file.size) +
                      " bytes has room for; it is damaged or truncated");
    if (entry.problem == nullptr && entry.size / kMostSaved > entry.packed)
      throw DataError("part '" + name + "' has " + std::to_string(entry.size) +
                      " bytes, more than " + std::to_string(entry.packed) +
                      " compressed bytes can hold; the file is damaged");
    if (entry.problem == nullptr) sum += entry.packed;
    if (!entries.emplace(name, entry).second) throw DataError("has two parts '" + name + "'");
    offset += whole;
  }
  return entries;
}

/// Returns the offset of the content of `entry`, as it is in the archive, which lies inside the
/// file. Raises DataError if the archive is damaged, and if the entry has a `problem`.
inline std::uint64_t zip_content(const ByteSource& file, const std::string& name,
                                 const ZipEntry& entry) {
  if (entry.problem != nullptr)
    throw DataError("part '" + name + "' is " + entry.problem +
                    ", in a way that is not supported; write the file again without that");
  constexpr std::uint64_t kLocal = 30;
  const auto local = file.bytes(entry.header, kLocal);
  if (!local.starts_with("PK\x03\x04"))
    throw DataError("part '" + name + "' does not begin where the list says; the file is damaged");
  const auto begin = entry.header + kLocal + zip_number<std::uint16_t>(local, 26) +
                     zip_number<std::uint16_t>(local, 28);
  if (begin > file.size || entry.packed > file.size - begin)
    throw DataError("part '" + name + "' of " + std::to_string(entry.packed) +
                    " bytes ends outside the file; it is damaged or truncated");
  return begin;
}

/// Copies the content of `entry` to `to`, which has room for it, and checks it. Raises DataError if
/// it is damaged.
inline void read_zip(const ByteSource& file, const std::string& name, const ZipEntry& entry,
                     char* to) {
  const auto begin = zip_content(file, name, entry);
  const auto size = static_cast<std::size_t>(entry.size);
  if (entry.deflated) {
    try {
      inflate(file.bytes(begin, entry.packed), to, size);
    } catch (const DataError& error) {
      throw DataError("part '" + name + "' is damaged: " + error.what());
    }
  } else {
    file.read(begin, to, size);
  }
  if (entry.crc32 != 0 && crc32_of({to, size}) != entry.crc32)
    throw DataError("part '" + name + "' is damaged: its bytes are not those that were written");
}

/// Returns the content of `entry`. Raises DataError if it is damaged, before memory is allocated if
/// it lies outside the file.
inline std::string read_zip(const ByteSource& file, const std::string& name,
                            const ZipEntry& entry) {
  static_cast<void>(zip_content(file, name, entry));
  std::string content(static_cast<std::size_t>(entry.size), '\0');
  read_zip(file, name, entry, content.data());
  return content;
}

}  // namespace contrapunto::detail
