// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "contrapunto/core/data_error.hpp"

namespace contrapunto {

/// A regular file inside a tar archive.
struct TarMember {
  std::string name;          ///< Full path inside the archive.
  std::uint64_t offset = 0;  ///< Offset of the content from the start of the archive.
  std::uint64_t size = 0;    ///< Size of the content in bytes.
};

/// The members up to the first damage, in archive order.
struct TarListing {
  std::vector<TarMember> members;
  std::optional<std::string> problem;  ///< "at OFFSET: reason" if reading had to stop early.
};

namespace detail {

constexpr std::uint64_t kTarBlock = 512;
constexpr std::uint64_t kTarLongestName = 1 << 20;  // Bytes; a longer name is treated as damage.
using TarHeader = std::array<unsigned char, kTarBlock>;

[[noreturn]] inline void tar_error(std::uint64_t offset, const std::string& reason) {
  throw DataError("at " + std::to_string(offset) + ": " + reason);
}

/// Parses a number field: octal digits, or base 256 if the top bit is set (GNU, for 8 GiB and
/// more).
inline std::optional<std::uint64_t> tar_number(const unsigned char* field, std::size_t length) {
  std::uint64_t value = 0;
  if (field[0] & 0x80) {
    for (std::size_t i = 0; i < length; ++i) {
      const std::uint64_t byte = i == 0 ? field[0] & 0x7Fu : field[i];
      if (value >> 55) return std::nullopt;  // Also rejects negative numbers.
      value = (value << 8) | byte;
    }
    return value;
  }
  std::size_t i = 0;
  while (i < length && field[i] == ' ') ++i;
  for (; i < length && field[i] >= '0' && field[i] <= '7'; ++i) {
    if (value >> 60) return std::nullopt;
    value = value * 8 + (field[i] - '0');
  }
  const bool ends_well = i == length || field[i] == ' ' || field[i] == '\0';
  return ends_well ? std::optional(value) : std::nullopt;
}

/// The sum counts the checksum field as spaces. Old writers summed signed bytes.
inline bool tar_checksum_matches(const TarHeader& header) {
  std::int64_t plain = 0;
  std::int64_t with_signs = 0;
  for (std::size_t i = 0; i < header.size(); ++i) {
    const unsigned char byte = i >= 148 && i < 156 ? ' ' : header[i];
    plain += byte;
    with_signs += static_cast<signed char>(byte);
  }
  const auto stored = tar_number(&header[148], 8);
  if (!stored) return false;
  const auto sum = static_cast<std::int64_t>(*stored);
  return sum == plain || sum == with_signs;
}

inline std::string tar_text(const unsigned char* field, std::size_t length) {
  const void* end = std::memchr(field, '\0', length);
  const auto* text = reinterpret_cast<const char*>(field);
  return {text, end ? static_cast<std::size_t>(static_cast<const char*>(end) - text) : length};
}

/// Returns the name in the header. POSIX archives store its beginning in a second field.
inline std::string tar_name(const TarHeader& header) {
  std::string name = tar_text(header.data(), 100);
  const bool posix = std::memcmp(&header[257], "ustar\0", 6) == 0;
  if (posix && header[345] != '\0') name = tar_text(&header[345], 155) + "/" + name;
  return name;
}

/// The contents of a pax extended header for the next member. Records are "LENGTH KEY=VALUE\n".
struct PaxRecords {
  std::optional<std::string> path;
  std::optional<std::uint64_t> size;
};

inline PaxRecords parse_pax(std::string_view text, std::uint64_t offset) {
  const auto number = [&](std::string_view digits) {
    std::uint64_t value = 0;
    if (digits.empty() || digits.size() > 18) tar_error(offset, "bad number in a pax header");
    for (const char digit : digits) {
      if (digit < '0' || digit > '9') tar_error(offset, "bad number in a pax header");
      value = value * 10 + static_cast<std::uint64_t>(digit - '0');
    }
    return value;
  };
  PaxRecords found;
  while (!text.empty()) {
    const auto blank = text.find(' ');
    if (blank == std::string_view::npos) tar_error(offset, "bad record in a pax header");
    const std::uint64_t length = number(text.substr(0, blank));
    if (length <= blank + 1 || length > text.size() || text[length - 1] != '\n')
      tar_error(offset, "bad record length in a pax header");
    const std::string_view record = text.substr(blank + 1, length - blank - 2);
    const auto equals = record.find('=');
    if (equals == std::string_view::npos) tar_error(offset, "bad record in a pax header");
    const std::string_view key = record.substr(0, equals);
    if (key == "path") found.path = std::string(record.substr(equals + 1));
    if (key == "size") found.size = number(record.substr(equals + 1));
    text.remove_prefix(length);
  }
  return found;
}

template <class Source>
void list_tar_members(const Source& source, std::vector<TarMember>& members) {
  std::optional<std::string> long_name;
  PaxRecords pax;
  TarHeader header{};
  std::uint64_t at = 0;
  while (at < source.size()) {
    if (source.size() - at < kTarBlock) tar_error(at, "truncated header");
    source.read(at, header.data(), header.size());
    if (header == TarHeader{}) return;  // End of the archive.
    if (!tar_checksum_matches(header)) tar_error(at, "bad header checksum");
    const unsigned char type = header[156];
    auto size = tar_number(&header[124], 12);
    if (!size) tar_error(at, "bad size field");
    // Links, devices and directories have no content, whatever their size field contains.
    if (type >= '1' && type <= '6') size = 0;
    const bool regular = type == '0' || type == '\0' || type == '7';
    if (regular && pax.size) size = pax.size;
    const std::uint64_t content = at + kTarBlock;
    if (*size > source.size() - content)
      tar_error(at, "truncated: member '" + tar_name(header) + "' needs " + std::to_string(*size) +
                        " bytes, but the file has " + std::to_string(source.size() - content) +
                        " more");
    if (type == 'L' || type == 'x') {
      if (*size > kTarLongestName) tar_error(at, "name header is too long");
      std::string text(*size, '\0');
      source.read(content, text.data(), text.size());
      if (type == 'L') {
        long_name = text.substr(0, text.find('\0'));
      } else {
        pax = parse_pax(text, at);
      }
    } else if (type == 'S') {
      tar_error(at, "sparse members are not supported; pack the archive without --sparse");
    } else if (type != 'K' && type != 'g') {
      if (regular)
        members.push_back({pax.path    ? *pax.path
                           : long_name ? *long_name
                                       : tar_name(header),
                           content, *size});
      long_name.reset();
      pax = {};
    }
    at = content + (*size + kTarBlock - 1) / kTarBlock * kTarBlock;
  }
  if (at > source.size()) tar_error(source.size(), "truncated after a member");
}

}  // namespace detail

/// Lists the members of a tar archive (ustar, GNU long names and pax) by reading its headers. It
/// never raises for damage: it lists the members before the damage and reports in `problem` where
/// and why it stopped. `Source` has `size()` and `read(offset, target, bytes)`; see
/// RandomAccessFile.
template <class Source>
[[nodiscard]] TarListing list_tar(const Source& source) {
  TarListing listing;
  try {
    detail::list_tar_members(source, listing.members);
  } catch (const DataError& error) {
    listing.problem = error.what();
  }
  return listing;
}

}  // namespace contrapunto
