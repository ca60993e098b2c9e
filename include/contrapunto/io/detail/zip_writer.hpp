// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "contrapunto/io/atomic_file.hpp"
#include "contrapunto/io/detail/zip.hpp"

namespace contrapunto::detail {

/// Writes a zip archive whose entries are stored as they are. The bytes depend only on the
/// arguments.
class ZipWriter {
 public:
  static constexpr std::uint64_t kSmallLimit = 0xFFFFFFFF;

  /// Sizes and offsets of at least `small_limit` are written in the zip64 format, which the
  /// default needs for those of 4 GiB.
  explicit ZipWriter(AtomicFile& file, std::uint64_t small_limit = kSmallLimit)
      : file_(file), limit_(small_limit) {}

  /// Appends the entry `name` with the content `head` and then `body`.
  void add(const std::string& name, std::string_view head, std::string_view body) {
    const std::uint64_t size = head.size() + body.size();
    const auto crc = crc32_of(body, crc32_of(head));
    const bool large = size >= limit_, far = written_ >= limit_;
    // Version 4.5 of the format has zip64.
    std::string local = "PK\x03\x04", extra;
    append<std::uint16_t>(local, large ? 45 : 20);
    append_common(local, crc, size, large, name);
    if (large) append_zip64(extra, size, size);
    append<std::uint16_t>(local, extra.size());
    local += name + extra;

    list_ += "PK\x01\x02";
    append<std::uint16_t>(list_, 45);
    append<std::uint16_t>(list_, large || far ? 45 : 20);
    append_common(list_, crc, size, large, name);
    if (far && !large) append_zip64(extra);
    if (far) {
      append<std::uint64_t>(extra, written_);
      extra[2] = static_cast<char>(extra.size() - 4);
    }
    append<std::uint16_t>(list_, extra.size());
    list_.append(2 + 2 + 2 + 4, '\0');  // Comment, disk and attributes.
    append<std::uint32_t>(list_, far ? kSmallLimit : written_);
    list_ += name + extra;
    ++count_;
    for (const auto part : {std::string_view(local), head, body}) write(part);
  }

  /// Appends the list of the entries, after the last one.
  void finish() {
    const auto begin = written_;
    const bool is_zip64 = begin >= limit_ || list_.size() >= limit_ || count_ >= 0xFFFF;
    write(list_);
    std::string end;
    if (is_zip64) {
      const auto end64 = written_;
      end += "PK\x06\x06";
      append<std::uint64_t>(end, 44);  // Bytes that follow.
      append<std::uint16_t>(end, 45);
      append<std::uint16_t>(end, 45);
      append<std::uint64_t>(end, 0);  // Disks.
      append<std::uint64_t>(end, count_);
      append<std::uint64_t>(end, count_);
      append<std::uint64_t>(end, list_.size());
      append<std::uint64_t>(end, begin);
      end += "PK\x06\x07";
      append<std::uint32_t>(end, 0);
      append<std::uint64_t>(end, end64);
      append<std::uint32_t>(end, 1);  // Number of disks.
    }
    end += "PK\x05\x06";
    append<std::uint32_t>(end, 0);
    for (int i = 0; i < 2; ++i) append<std::uint16_t>(end, is_zip64 ? 0xFFFF : count_);
    append<std::uint32_t>(end, is_zip64 ? kSmallLimit : list_.size());
    append<std::uint32_t>(end, is_zip64 ? kSmallLimit : begin);
    append<std::uint16_t>(end, 0);
    write(end);
  }

 private:
  template <class Number>
  static void append(std::string& record, std::uint64_t number) {
    for (std::size_t i = 0; i < sizeof(Number); ++i)
      record += static_cast<char>(number >> (8 * i) & 0xFFU);
  }

  static void append_common(std::string& record, std::uint32_t crc, std::uint64_t size, bool large,
                            const std::string& name) {
    append<std::uint32_t>(record, 0);   // No flags, not compressed.
    append<std::uint16_t>(record, 0);   // Midnight
    append<std::uint16_t>(record, 33);  // of January 1, 1980, the first date of the format.
    append<std::uint32_t>(record, crc);
    for (int i = 0; i < 2; ++i) append<std::uint32_t>(record, large ? kSmallLimit : size);
    append<std::uint16_t>(record, name.size());
  }

  /// Begins the extra field of zip64 with `numbers`.
  template <class... Numbers>
  static void append_zip64(std::string& extra, Numbers... numbers) {
    append<std::uint16_t>(extra, 1);
    append<std::uint16_t>(extra, 8 * sizeof...(numbers));
    (append<std::uint64_t>(extra, numbers), ...);
  }

  void write(std::string_view bytes) {
    file_.write(bytes);
    written_ += bytes.size();
  }

  AtomicFile& file_;
  std::uint64_t limit_;
  std::uint64_t written_ = 0;
  std::uint64_t count_ = 0;
  std::string list_;
};

}  // namespace contrapunto::detail
