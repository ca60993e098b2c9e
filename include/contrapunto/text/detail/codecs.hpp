// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/text/detail/codec_tables.hpp"
#include "contrapunto/text/detail/unicode_text.hpp"

/// Encodings that turn UTF-8 into mojibake, and variants of UTF-8, in plain C++ without Torch.
namespace contrapunto::detail {

/// A single-byte encoding. In the Windows encodings a byte that has no character is mapped to
/// itself, and U+FFFD, the trace of a lost byte, is byte 0x1A.
class SingleByteCodec {
 public:
  SingleByteCodec(std::string_view name, bool windows, std::u16string_view upper)
      : name_(name), windows_(windows) {
    for (std::size_t i = 0; i < upper_.size(); ++i) {
      upper_[i] = upper.empty() ? static_cast<char32_t>(0x80 + i) : char32_t{upper[i]};
      bytes_[i] = {upper_[i], static_cast<char>(static_cast<unsigned char>(0x80 + i))};
    }
    std::sort(bytes_.begin(), bytes_.end());
  }

  [[nodiscard]] std::string_view name() const { return name_; }
  [[nodiscard]] bool windows() const { return windows_; }

  [[nodiscard]] char32_t decode(unsigned char byte) const {
    return byte < 0x80 ? byte : upper_[byte - 0x80U];
  }

  /// Returns the bytes that decode to `text`, or nothing if a character has none.
  [[nodiscard]] std::optional<std::string> encode(std::u32string_view text) const {
    constexpr char kLost = 0x1A;
    std::string bytes;
    bytes.reserve(text.size());
    for (const char32_t c : text) {
      if (c < 0x80 && !(windows_ && c == kLost)) {
        bytes += static_cast<char>(c);
      } else if (windows_ && c == kReplacementCharacter) {
        bytes += kLost;
      } else {
        const auto found =
            std::lower_bound(bytes_.begin(), bytes_.end(), std::pair(c, '\0'),
                             [](const auto& a, const auto& b) { return a.first < b.first; });
        if (found == bytes_.end() || found->first != c) return std::nullopt;
        bytes += found->second;
      }
    }
    return bytes;
  }

 private:
  std::string_view name_;
  bool windows_;
  std::array<char32_t, 128> upper_{};
  std::array<std::pair<char32_t, char>, 128> bytes_{};  // Sorted by character.
};

/// Returns Latin-1 and then the encodings of the table, in the order in which repair tries them.
inline const std::vector<SingleByteCodec>& single_byte_codecs() {
  static const std::vector<SingleByteCodec> codecs = [] {
    std::vector<SingleByteCodec> all{{"latin-1", false, {}}};
    for (const CodecTable& table : kCodecTables)
      all.emplace_back(table.name, table.windows, table.upper);
    return all;
  }();
  return codecs;
}

/// Returns the Windows-1252 character of a code point in 0x80..0x9F, or the code point itself if
/// there is none.
inline char32_t decode_windows_1252(char32_t c) {
  return single_byte_codecs()[1].decode(static_cast<unsigned char>(c));
}

/// Decodes strict UTF-8. Returns nothing if any byte is invalid.
inline std::optional<std::u32string> decode_strict_utf8(std::string_view bytes) {
  std::u32string text;
  text.reserve(bytes.size());
  for (std::size_t i = 0; i < bytes.size();) {
    const DecodedCharacter c = decode_character(bytes, i);
    if (!c.valid) return std::nullopt;
    text += c.value;
    i += c.length;
  }
  return text;
}

/// Decodes UTF-8 that may also contain CESU-8 (surrogate pairs of three bytes each) and Java's
/// two-byte zero. Two errors of the reference at the end of a line are reproduced, because ids must
/// agree: a final newline counts as the byte 0x80 of that zero, and as the last byte of a surrogate
/// pair.
inline std::optional<std::u32string> decode_utf8_variants(std::string_view bytes) {
  const auto byte = [&](std::size_t i) -> unsigned {
    return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0U;
  };
  const auto within = [&](std::size_t i, unsigned low, unsigned high) {
    return byte(i) >= low && byte(i) <= high;
  };
  const auto final_newline = [&](std::size_t i) {
    return i + 1 == bytes.size() && byte(i) == '\n';
  };
  std::u32string text;
  text.reserve(bytes.size());
  for (std::size_t i = 0; i < bytes.size();) {
    if (byte(i) == 0xC0 && (byte(i + 1) == 0x80 || final_newline(i + 1))) {
      text += U'\0';
      i += 2;
    } else if (byte(i) == 0xED && within(i + 1, 0xA0, 0xAF) && within(i + 2, 0x80, 0xBF) &&
               byte(i + 3) == 0xED && within(i + 4, 0xB0, 0xBF) &&
               (within(i + 5, 0x80, 0xBF) || final_newline(i + 5))) {
      text += static_cast<char32_t>(0x10000 + ((byte(i + 1) & 0x0F) << 16) +
                                    ((byte(i + 2) & 0x3F) << 10) + ((byte(i + 4) & 0x0F) << 6) +
                                    (byte(i + 5) & 0x3F));
      i += 6;
    } else {
      const DecodedCharacter c = decode_character(bytes, i);
      if (!c.valid) return std::nullopt;
      text += c.value;
      i += c.length;
    }
  }
  return text;
}

}  // namespace contrapunto::detail
