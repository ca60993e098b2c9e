// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifndef CONTRAPUNTO_HAS_TEXT
#error \
    "Contrapunto: the BPE tokenizer needs the component `text` (utf8proc and zlib): use \
find_package(Contrapunto COMPONENTS text) and link contrapunto::text"
#endif

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <new>
#include <string>
#include <string_view>

#include "contrapunto/text/detail/unicode_tables.hpp"

/// Code points, their classes, lower case and normal forms as in CPython and its `regex` module,
/// based on utf8proc, in plain C++ without Torch.
namespace contrapunto::detail {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;

/// A code point and the number of bytes that encode it; `valid` is false for an invalid sequence.
struct DecodedCharacter {
  char32_t value = kReplacementCharacter;
  std::size_t length = 1;
  bool valid = false;
};

/// Decodes the character that starts at `bytes[at]`. An invalid sequence gives U+FFFD and the
/// length of its maximal subpart (Unicode 15, section 3.9), as with Python's errors="replace".
inline DecodedCharacter decode_character(std::string_view bytes, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char lead = byte(at);
  if (lead < 0x80) return {lead, 1, true};
  if (lead < 0xC2 || lead > 0xF4) return {};
  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // The range of the second byte excludes overlong forms, surrogates and values above U+10FFFF.
  const unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  char32_t value = lead & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if (at + i == bytes.size()) return {kReplacementCharacter, i, false};
    const unsigned char next = byte(at + i);
    if (next < (i == 1 ? low : 0x80) || next > (i == 1 ? high : 0xBF))
      return {kReplacementCharacter, i, false};
    value = (value << 6) | (next & 0x3FU);
  }
  return {value, length, true};
}

/// Returns the code points of `bytes`, with one U+FFFD for each maximal invalid subpart.
inline std::u32string decode_utf8(std::string_view bytes) {
  std::u32string text;
  text.reserve(bytes.size());
  for (std::size_t i = 0; i < bytes.size();) {
    const DecodedCharacter c = decode_character(bytes, i);
    text += c.value;
    i += c.length;
  }
  return text;
}

inline void append_utf8(std::string& bytes, char32_t c) {
  const auto put = [&](char32_t b) { bytes += static_cast<char>(static_cast<unsigned char>(b)); };
  if (c < 0x80) return put(c);
  if (c < 0x800) {
    put(0xC0 | (c >> 6));
  } else {
    if (c < 0x10000) {
      put(0xE0 | (c >> 12));
    } else {
      put(0xF0 | (c >> 18));
      put(0x80 | ((c >> 12) & 0x3F));
    }
    put(0x80 | ((c >> 6) & 0x3F));
  }
  put(0x80 | (c & 0x3F));
}

inline std::string encode_utf8(std::u32string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (const char32_t c : text) append_utf8(bytes, c);
  return bytes;
}

inline bool is_ascii(std::u32string_view text) {
  return std::all_of(text.begin(), text.end(), [](char32_t c) { return c < 0x80; });
}

inline utf8proc_category_t category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

/// Returns whether `c` is in one of the sorted, disjoint ranges.
template <class Ranges>
bool in_ranges(const Ranges& ranges, char32_t c) {
  const auto after =
      std::upper_bound(std::begin(ranges), std::end(ranges), c,
                       [](char32_t v, const UnicodeRange& r) { return v < r.first; });
  return after != std::begin(ranges) && c <= std::prev(after)->last;
}

/// \p{L}. Code points that are newer than the linked utf8proc come from the generated table.
inline bool is_letter(char32_t c) {
  if (c < 0x80) return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
  const auto k = category(c);
  if (k == UTF8PROC_CATEGORY_CN) return in_ranges(kYoungLetters, c);
  return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

/// \p{N}: decimal digits, letter numbers and other numbers.
inline bool is_number(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  const auto k = category(c);
  if (k == UTF8PROC_CATEGORY_CN) return in_ranges(kYoungNumbers, c);
  return k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO;
}

/// The Unicode property White_Space, `\s` of the `regex` module.
inline bool is_white_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

/// Python's str.isspace: White_Space and the four ASCII separators.
inline bool is_python_space(char32_t c) {
  return is_white_space(c) || (c >= 0x1C && c <= 0x1F);
}

/// Returns `text` with each run of Python's white space replaced by one space, and without white
/// space at the ends.
inline std::u32string collapse_white_space(std::u32string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (const char32_t c : text) {
    if (!is_python_space(c)) {
      out += c;
    } else if (!out.empty() && out.back() != ' ') {
      out += U' ';
    }
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

/// Case_Ignorable: the characters that the final-sigma rule skips.
inline bool is_case_ignorable(char32_t c) {
  static constexpr std::u32string_view kWordPunctuation =
      U"'.:\u00b7\u0387\u055f\u05f4\u2018\u2019\u2024\u2027\ufe13\ufe52\ufe55\uff07\uff0e\uff1a";
  switch (category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      return kWordPunctuation.find(c) != std::u32string_view::npos;
  }
}

/// Cased, for code points that are not Case_Ignorable.
inline bool is_cased(char32_t c) {
  const auto k = category(c);
  if (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LT) return true;
  // Other_Lowercase and Other_Uppercase: ordinals, Roman numerals, circled and squared letters.
  return c == 0xAA || c == 0xBA || (c >= 0x2160 && c <= 0x217F) || (c >= 0x24B6 && c <= 0x24E9) ||
         (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
         (c >= 0x1F170 && c <= 0x1F189);
}

/// Returns whether the capital sigma at `at` ends a word: there is a cased letter before it and
/// none after it.
inline bool is_final_sigma(std::u32string_view text, std::size_t at) {
  std::size_t before = at;
  while (before > 0 && is_case_ignorable(text[before - 1])) --before;
  if (before == 0 || !is_cased(text[before - 1])) return false;
  std::size_t after = at + 1;
  while (after < text.size() && is_case_ignorable(text[after])) ++after;
  return after == text.size() || !is_cased(text[after]);
}

/// Python's str.lower: simple mappings, the final sigma, and I with dot above, which becomes two
/// code points.
inline std::u32string to_lower(std::u32string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char32_t c = text[i];
    if (c < 0x80) {
      out += c >= 'A' && c <= 'Z' ? c + 0x20 : c;
    } else if (c == 0x130) {
      out += U"i\u0307";
    } else if (c == 0x3A3) {
      out += is_final_sigma(text, i) ? char32_t{0x3C2} : char32_t{0x3C3};
    } else {
      out += static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
    }
  }
  return out;
}

/// Returns the canonical composition (NFC) or the compatibility composition (NFKC). `text` must not
/// contain surrogates.
inline std::u32string compose(std::u32string_view text, bool compatibility = false) {
  // Every text with only code points below the first combining mark is already in NFC.
  if (!compatibility && std::all_of(text.begin(), text.end(), [](char32_t c) { return c < 0x300; }))
    return std::u32string(text);
  const int options = UTF8PROC_STABLE | UTF8PROC_COMPOSE | (compatibility ? UTF8PROC_COMPAT : 0);
  const std::string bytes = encode_utf8(text);
  utf8proc_uint8_t* mapped = nullptr;
  const auto length = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(bytes.data()),
                                   static_cast<utf8proc_ssize_t>(bytes.size()), &mapped,
                                   static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
  if (length < 0) throw std::bad_alloc();  // The input is valid, so only memory can run out.
  return decode_utf8({reinterpret_cast<const char*>(mapped), static_cast<std::size_t>(length)});
}

}  // namespace contrapunto::detail
