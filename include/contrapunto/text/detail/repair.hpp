// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "contrapunto/text/detail/html_unescape.hpp"
#include "contrapunto/text/detail/mojibake.hpp"
#include "contrapunto/text/detail/unicode_text.hpp"

/// The repairs of ftfy 6.3's fix_text with its default settings, in plain C++ without Torch.
/// Reference: Speer 2019, https://doi.org/10.5281/zenodo.2591652
namespace contrapunto::detail {

/// Returns the letters of a Latin ligature or digraph; empty for other characters.
inline std::u32string_view ligature_letters(char32_t c) {
  static constexpr std::pair<char32_t, std::u32string_view> kLigatures[] = {
      {0x0132, U"IJ"},      {0x0133, U"ij"},      {0x0149, U"\u02bcn"}, {0x01C4, U"D\u017d"},
      {0x01C5, U"D\u017e"}, {0x01C6, U"d\u017e"}, {0x01C7, U"LJ"},      {0x01C8, U"Lj"},
      {0x01C9, U"lj"},      {0x01CA, U"NJ"},      {0x01CB, U"Nj"},      {0x01CC, U"nj"},
      {0x01F1, U"DZ"},      {0x01F2, U"Dz"},      {0x01F3, U"dz"},      {0xFB00, U"ff"},
      {0xFB01, U"fi"},      {0xFB02, U"fl"},      {0xFB03, U"ffi"},     {0xFB04, U"ffl"},
      {0xFB05, U"\u017ft"}, {0xFB06, U"st"}};
  for (const auto& [ligature, letters] : kLigatures)
    if (ligature == c) return letters;
  return {};
}

/// Appends a simplified character to `out`: C1 controls are read as Windows-1252, ligatures are
/// split into letters, and half-width and full-width forms become normal.
inline void append_plain(std::u32string& out, char32_t c) {
  if (c < 0x80) {
    out += c;
    return;
  }
  if (c <= 0x9F) c = decode_windows_1252(c);
  if (const auto letters = ligature_letters(c); !letters.empty()) {
    out += letters;
  } else if (c == 0x3000) {
    out += U' ';
  } else if (c >= 0xFF01 && c <= 0xFFEF) {
    out += compose(std::u32string_view(&c, 1), /*compatibility=*/true);
  } else {
    out += c;
  }
}

/// Replaces curly quotation marks by straight ones, and every line break by "\n".
inline std::u32string straighten(std::u32string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char32_t c = text[i];
    if (c == 0x2BC || (c >= 0x2018 && c <= 0x201B)) {
      out += U'\'';
    } else if (c >= 0x201C && c <= 0x201F) {
      out += U'"';
    } else if (c == 0x2028 || c == 0x2029 ||
               (c == '\r' && (i + 1 == text.size() || text[i + 1] != '\n'))) {
      out += U'\n';
    } else if (c != '\r') {
      out += c;
    }
  }
  return out;
}

/// Removes terminal escape sequences, such as those for color.
inline std::u32string remove_terminal_escapes(std::u32string_view text) {
  constexpr char32_t kEscape = 0x1B;
  std::u32string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = i;
    if (text[i] == kEscape && i + 1 < text.size() && text[i + 1] == '[') {
      end = i + 2;
      while (end < text.size() && (text[end] == ';' || category(text[end]) == UTF8PROC_CATEGORY_ND))
        ++end;
      end = end < text.size() && text[end] < 0x80 && is_letter(text[end]) ? end + 1 : i;
    }
    if (end == i) {
      out += text[i++];
    } else {
      i = end;
    }
  }
  return out;
}

/// Returns whether `c` is a control character without a visible effect: ASCII controls that are not
/// white space, deprecated Arabic ones, annotation marks, the object replacement character and the
/// byte order mark.
inline bool is_useless_control(char32_t c) {
  return c <= 0x08 || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F ||
         (c >= 0x206A && c <= 0x206F) || c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFC);
}

/// Repairs one line until nothing changes anymore.
inline std::u32string repair_segment(std::u32string text, bool unescape) {
  // Surrogates need no handling, because decode_utf8 and later steps never produce one.
  for (;;) {
    std::u32string repaired = unescape ? unescape_unambiguous_html(text) : text;
    repaired = repair_encoding(std::move(repaired));
    std::u32string plain;
    plain.reserve(repaired.size());
    for (const char32_t c : repaired) append_plain(plain, c);
    plain = remove_terminal_escapes(straighten(plain));
    plain.erase(std::remove_if(plain.begin(), plain.end(), is_useless_control), plain.end());
    plain = compose(plain);
    if (plain == text) return text;
    text = std::move(plain);
  }
}

/// Repairs `text` line by line. From the first line with a `<` on, the text counts as HTML, and its
/// character references are kept.
inline std::u32string repair_text(std::u32string_view text) {
  constexpr std::size_t kLongestSegment = 1'000'000;
  std::u32string out;
  out.reserve(text.size());
  bool unescape = true;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t newline = text.find(U'\n', at);
    const std::size_t line =
        (newline == std::u32string_view::npos ? text.size() : newline + 1) - at;
    const std::u32string_view segment = text.substr(at, std::min(line, kLongestSegment));
    unescape = unescape && segment.find(U'<') == std::u32string_view::npos;
    out += repair_segment(std::u32string(segment), unescape);
    at += segment.size();
  }
  return out;
}

}  // namespace contrapunto::detail
