// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "contrapunto/text/detail/codecs.hpp"
#include "contrapunto/text/detail/html_entity_table.hpp"
#include "contrapunto/text/detail/unicode_text.hpp"

/// Character references of HTML as Python's html.unescape reads them, in plain C++ without Torch.
namespace contrapunto::detail {

struct HtmlEntity {
  std::u32string value;
  bool bare = false;  ///< Also valid without a semicolon.
};

/// Named references, without `&` and `;`. `capitals` are spellings that HTML does not define but
/// that stand for an entity in all-capital text, such as EACUTE.
struct HtmlEntities {
  std::unordered_map<std::string_view, HtmlEntity> names;
  std::unordered_map<std::string, std::u32string> capitals;

  HtmlEntities() {
    const auto parse = [](std::string_view points) {
      std::u32string value;
      while (!points.empty()) {
        std::uint32_t c = 0;
        const auto end = std::from_chars(points.data(), points.data() + points.size(), c, 16).ptr;
        value += static_cast<char32_t>(c);
        points.remove_prefix(
            std::min(points.size(), static_cast<std::size_t>(end - points.data()) + 1));
      }
      return value;
    };
    for (std::size_t at = 0; at < kHtmlEntities.size();) {
      const std::size_t end = kHtmlEntities.find(' ', at);
      const std::string_view entry = kHtmlEntities.substr(at, end - at);
      at = end + 1;
      const std::size_t mark = entry.find_first_of(":*");
      const std::size_t caret = entry.find('^');
      const std::string_view name = entry.substr(0, mark);
      const std::u32string value = parse(entry.substr(mark + 1, caret - mark - 1));
      names.emplace(name, HtmlEntity{value, entry[mark] == '*'});
      if (caret == std::string_view::npos) continue;
      std::string capital(name);
      for (char& c : capital)
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 0x20);
      capitals.emplace(capital, caret + 1 == entry.size() ? value : parse(entry.substr(caret + 1)));
    }
  }
};

inline const HtmlEntities& html_entities() {
  static const HtmlEntities entities;
  return entities;
}

/// Returns the HTML 5 value of the numeric reference to `number`; empty if HTML allows no
/// character.
inline std::u32string numeric_reference(std::uint32_t number) {
  if (number == 0 || number > 0x10FFFF || (number >= 0xD800 && number <= 0xDFFF))
    return std::u32string(1, kReplacementCharacter);
  if (number == 0x0D) return U"\r";
  if (number >= 0x80 && number <= 0x9F) return std::u32string(1, decode_windows_1252(number));
  const bool nothing = number <= 8 || number == 0x0B || (number >= 0x0E && number <= 0x1F) ||
                       number == 0x7F || (number >= 0xFDD0 && number <= 0xFDEF) ||
                       (number & 0xFFFE) == 0xFFFE;
  return nothing ? std::u32string() : std::u32string(1, static_cast<char32_t>(number));
}

/// Reads the reference at `text[at]`, which is `&`. Appends its value to `out` and returns the
/// position after it. If it is not a reference, appends nothing and returns `at`.
inline std::size_t unescape_reference(std::u32string_view text, std::size_t at,
                                      std::u32string& out) {
  const auto peek = [&](std::size_t i) { return i < text.size() ? text[i] : U'\0'; };
  if (peek(at + 1) == '#') {
    const bool hexadecimal = (peek(at + 2) | 0x20) == 'x';
    const std::size_t first = at + (hexadecimal ? 3 : 2);
    std::size_t i = first;
    std::uint32_t number = 0;
    for (;; ++i) {
      const char32_t c = peek(i);
      const char32_t folded = c | 0x20;
      std::uint32_t digit = 0;
      if (c >= '0' && c <= '9') {
        digit = c - U'0';
      } else if (hexadecimal && folded >= 'a' && folded <= 'f') {
        digit = folded - U'a' + 10;
      } else {
        break;
      }
      // Saturates above the last code point for any number of digits.
      number = std::min<std::uint32_t>(number * (hexadecimal ? 16 : 10) + digit, 0x110000);
    }
    if (i == first) return at;
    out += numeric_reference(number);
    return i + (peek(i) == ';' ? 1 : 0);
  }
  constexpr std::u32string_view kNotInNames = U"\t\n\f <&#;";
  constexpr std::size_t kLongestRead = 32;
  constexpr std::size_t kLongestName = 31;  // Longest name of an entity.
  std::size_t length = 0;
  while (length < kLongestRead && at + 1 + length < text.size() &&
         kNotInNames.find(text[at + 1 + length]) == std::u32string_view::npos)
    ++length;
  std::string name;  // ASCII prefix; entity names are ASCII.
  while (name.size() < std::min(length, kLongestName) && text[at + 1 + name.size()] < 0x80)
    name += static_cast<char>(text[at + 1 + name.size()]);
  const auto& names = html_entities().names;
  const bool closed = length > 0 && peek(at + 1 + length) == ';';
  if (name.size() == length && closed) {
    if (const auto found = names.find(name); found != names.end()) {
      out += found->second.value;
      return at + length + 2;
    }
  }
  // Find the longest prefix that needs no semicolon. The text after it is kept.
  for (; name.size() > 1; name.pop_back()) {
    if (const auto found = names.find(name); found != names.end() && found->second.bare) {
      out += found->second.value;
      return at + 1 + name.size();
    }
  }
  return at;
}

/// Returns `text` with every character reference replaced, including those without a semicolon.
inline std::u32string unescape_html(std::u32string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t next = text[i] == '&' ? unescape_reference(text, i, out) : i;
    if (next == i) {
      out += text[i++];
    } else {
      i = next;
    }
  }
  return out;
}

/// The conservative variant for text that may not be HTML: replaces only references that end with a
/// semicolon and are complete, including the capital spellings of names.
inline std::u32string unescape_unambiguous_html(std::u32string_view text) {
  constexpr std::size_t kLongest = 24;
  std::u32string out;
  out.reserve(text.size());
  std::size_t i = 0;
  while (i < text.size()) {
    if (text[i] != '&') {
      out += text[i++];
      continue;
    }
    const bool numeric = i + 1 < text.size() && text[i + 1] == '#';
    const std::size_t first = i + (numeric ? 2 : 1);
    std::string name;
    std::size_t end = first;
    while (end < text.size() && name.size() <= kLongest && text[end] < 0x80 &&
           (is_letter(text[end]) || is_number(text[end])))
      name += static_cast<char>(text[end++]);
    const bool reference =
        !name.empty() && name.size() <= kLongest && end < text.size() && text[end] == ';';
    if (!reference) {
      out += text[i++];
      continue;
    }
    const std::u32string_view whole = text.substr(i, end + 1 - i);
    i = end + 1;
    const HtmlEntities& entities = html_entities();
    if (numeric) {
      const std::u32string value = unescape_html(whole);
      out += value.find(U';') == std::u32string::npos ? std::u32string_view(value) : whole;
    } else if (const auto known = entities.names.find(name); known != entities.names.end()) {
      out += known->second.value;
    } else if (const auto capital = entities.capitals.find(name);
               capital != entities.capitals.end()) {
      out += capital->second;
    } else {
      out += whole;
    }
  }
  return out;
}

}  // namespace contrapunto::detail
