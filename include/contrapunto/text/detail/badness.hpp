// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>

#include "contrapunto/text/detail/unicode_text.hpp"

/// Detects text that looks like mojibake, in plain C++ without Torch. The criterion is that of ftfy
/// 6.3: a set of short character sequences that rarely occur in intended text.
/// Reference: Speer 2019, https://doi.org/10.5281/zenodo.2591652
namespace contrapunto::detail {
namespace mojibake {

/// Sets of characters as bits, so that one character can be in several sets.
enum CharacterSet : std::uint32_t {
  kCommon = 1U << 0,
  kC1 = 1U << 1,
  kBad = 1U << 2,
  kLaw = 1U << 3,
  kCurrency = 1U << 4,
  kOpening = 1U << 5,
  kClosing = 1U << 6,
  kNumeric = 1U << 7,
  kKaomoji = 1U << 8,
  kUpperAccented = 1U << 9,
  kLowerAccented = 1U << 10,
  kUpperCommon = 1U << 11,
  kLowerCommon = 1U << 12,
  kBox = 1U << 13,
  kAsciiLower = 1U << 14,
  kAsciiUpper = 1U << 15,
  kSpace = 1U << 16,  // Python's \s
  kWord = 1U << 17,   // Python's \w
  kNotAsciiLetter = 1U << 18,
  kNotNewline = 1U << 19,
};

struct NamedSet {
  CharacterSet set;
  std::u32string_view members;  ///< Pairs of the first and last character of a range.
};

inline constexpr NamedSet kMojibakeSets[] = {
    {kCommon, U"\xa0\xa0\xad\xad\xb4\xb4\xb7\xb7\x2013\x2015\x2019\x2019\x2026\x2026"},
    {kC1, U"\x80\x9f"},
    {kBad,
     U"\xa4\xa4\xa6\xa6\xa8\xa8\xaa\xaa\xac\xac\xaf\xaf\xb8\xb8\xba\xba\x192\x192\x2c6\x2c7"
     U"\x2d8\x2d8\x2db\x2dc\x2020\x2021\x2030\x2030\x2310\x2310\x25ca\x25ca\xfffd\xfffd"},
    {kLaw, U"\xa7\xa7\xb6\xb6"},
    {kCurrency, U"\xa2\xa3\xa5\xa5\x20a7\x20a7\x20ac\x20ac"},
    {kOpening,
     U"\xa1\xa1\xa9\xa9\xab\xab\xbf\xbf\x384\x385\x2018\x2018\x201a\x201a\x201c\x201c"
     U"\x201e\x201e\x2022\x2022\x2039\x2039\xf8ff\xf8ff"},
    {kClosing, U"\xae\xae\xbb\xbb\x2dd\x2dd\x201d\x201d\x203a\x203a\x2122\x2122"},
    {kNumeric,
     U"\xb1\xb3\xb5\xb5\xb9\xb9\xbc\xbe\xd7\xd7\xf7\xf7\x2044\x2044\x2116\x2116\x2202\x2202"
     U"\x2206\x2206\x220f\x220f\x2211\x2211\x221a\x221a\x221e\x221e\x2229\x2229\x222b\x222b"
     U"\x2248\x2248\x2260\x2261\x2264\x2265"},
    {kKaomoji, U"\xb0\xb0\xd2\xd6\xd9\xdc\xf2\xf6\xf8\xfc\x14c\x14c\x150\x150\x16a\x16a\x172\x172"},
    {kUpperAccented,
     U"\xc0\xd1\xd8\xd8\xdc\xdd\x100\x100\x102\x102\x104\x104\x106\x106\x10c\x10c\x10e\x10e"
     U"\x110\x110\x112\x112\x116\x116\x118\x118\x11a\x11a\x11e\x11e\x122\x122\x12a\x12a"
     U"\x130\x130\x136\x136\x139\x139\x13b\x13b\x13d\x13d\x141\x141\x143\x143\x145\x145"
     U"\x147\x147\x152\x152\x158\x158\x15a\x15a\x15e\x15e\x160\x160\x162\x162\x164\x164"
     U"\x16e\x16e\x170\x170\x178\x179\x17b\x17b\x17d\x17d\x490\x490"},
    {kLowerAccented,
     U"\xdf\xf1\xfc\xfc\x101\x101\x103\x103\x105\x105\x107\x107\x10d\x10d\x10f\x10f"
     U"\x111\x111\x113\x113\x117\x117\x119\x119\x11b\x11b\x11f\x11f\x123\x123\x12b\x12b"
     U"\x12f\x12f\x137\x137\x13a\x13a\x13c\x13c\x13e\x13e\x142\x142\x153\x153\x155\x155"
     U"\x15b\x15b\x15f\x15f\x161\x161\x165\x165\x17a\x17a\x17c\x17c\x17e\x17e\x491\x491"
     U"\xfb01\xfb02"},
    {kUpperCommon, U"\xde\xde\x386\x386\x388\x38a\x38c\x38c\x38e\x38f\x391\x3ab\x401\x42f"},
    {kLowerCommon, U"\x3ac\x3c9\x430\x45f"},
    {kBox,
     U"\x2502\x2502\x250c\x250c\x2510\x2510\x2518\x2518\x251c\x251c\x2524\x2524\x252c\x252c"
     U"\x253c\x253c\x2550\x256c\x2580\x2580\x2584\x2584\x2588\x2588\x258c\x258c\x2590\x2593"},
};

/// Returns the sets in the table above that contain a character.
inline std::uint32_t mojibake_sets(char32_t c) {
  static const auto table = [] {
    std::unordered_map<char32_t, std::uint32_t> sets;
    for (const NamedSet& named : kMojibakeSets)
      for (std::size_t i = 0; i + 1 < named.members.size(); i += 2)
        for (char32_t m = named.members[i]; m <= named.members[i + 1]; ++m) sets[m] |= named.set;
    return sets;
  }();
  const auto found = table.find(c);
  return found == table.end() ? 0U : found->second;
}

/// Returns all sets that contain `c`.
inline std::uint32_t character_sets(char32_t c) {
  const bool lower = c >= 'a' && c <= 'z';
  const bool upper = c >= 'A' && c <= 'Z';
  std::uint32_t sets = lower ? kAsciiLower : upper ? kAsciiUpper : kNotAsciiLetter;
  if (c != '\n') sets |= kNotNewline;
  if (is_python_space(c)) sets |= kSpace;
  if (c == '_' || is_letter(c) || is_number(c)) sets |= kWord;
  return c < 0x80 ? sets : sets | mojibake_sets(c);
}

/// One position of a sequence: a character of any of the sets, or one of `also`.
struct Place {
  std::uint32_t sets = 0;
  std::u32string_view also = {};
};

/// Up to four consecutive positions; unused ones are empty.
struct Sequence {
  std::array<Place, 4> places;
};

inline constexpr std::uint32_t kAccented = kLowerAccented | kUpperAccented;
inline constexpr std::uint32_t kQuotes = kOpening | kClosing;
inline constexpr std::uint32_t kAsciiLetter = kAsciiLower | kAsciiUpper;
inline constexpr std::uint32_t kBesideBad =
    kAccented | kBox | kQuotes | kCurrency | kNumeric | kLaw;
inline constexpr std::uint32_t kAfterArabicLead = kCommon | kCurrency | kBad | kNumeric | kOpening;
inline constexpr std::u32string_view kAfterArabicLeadToo = U"ŸŠ®°µ»";

inline constexpr Sequence kSequences[] = {
    {{{{kC1}}}},
    {{{{kBesideBad | kBad}, {kBad}}}},
    {{{{kAsciiLetter}, {kLowerCommon | kUpperCommon}, {kBad}}}},
    {{{{kBad}, {kBesideBad}}}},
    {{{{kLowerAccented | kLowerCommon | kBox | kClosing | kCurrency | kNumeric},
       {kUpperAccented}}}},
    {{{{kBox | kClosing | kCurrency | kNumeric}, {kLowerAccented}}}},
    {{{{kLowerAccented | kBox | kClosing}, {kCurrency}}}},
    {{{{kSpace}, {kUpperAccented}, {kCurrency}}}},
    {{{{kUpperAccented | kBox}, {kNumeric | kLaw}}}},
    {{{{kAccented | kBox | kCurrency | kClosing}, {kOpening}, {kNumeric}}}},
    {{{{kAccented | kCurrency | kNumeric | kBox | kLaw}, {kClosing}, {kOpening}}}},
    {{{{kCurrency | kNumeric | kBox}, {kOpening}}}},
    {{{{kAsciiLower}, {kUpperAccented}, {kOpening | kCurrency}}}},
    {{{{kBox}, {kKaomoji}}}},
    {{{{kAccented | kCurrency | kNumeric | kQuotes | kLaw}, {kBox}}}},
    {{{{kBox}, {kClosing}}}},
    {{{{kAccented}, {kQuotes}, {kWord}}}},
    {{{{0, U"Œœ"}, {kNotAsciiLetter}}}},
    {{{{kUpperAccented}, {0, U"°"}}}},
    // Windows-1252: Latin-1 and Greek or Cyrillic leads, the multiplication sign, Arabic, Indic.
    {{{{0, U"ÂÃÎÐ"}, {kQuotes, U"€œŠš¢£Ÿž\u00a0\u00ad®©°·»–—´"}}}},
    {{{{0, U"×"}, {0, U"²³"}}}},
    {{{{0, U"ØÙ"},
       {kAfterArabicLead, kAfterArabicLeadToo},
       {0, U"ØÙ"},
       {kAfterArabicLead, kAfterArabicLeadToo}}}},
    {{{{0, U"à"}, {0, U"²µ¹¼½¾"}}}},
    // Mac Roman.
    {{{{0, U"√"}, {0, U"±∂†≠®™´≤≥¥µø"}}}},
    {{{{0, U"≈"}, {0, U"°¢"}}}},
    {{{{0, U"‚"}, {0, U"Ä"}, {0, U"ìîïòôúùû†°¢π"}}}},
    {{{{0, U"‚"}, {0, U"âó"}, {0, U"àä°ê"}}}},
    // Windows-1251: punctuation, Latin-1 or Cyrillic, and mojibake on top of mojibake.
    {{{{0, U"в"}, {0, U"Ђ"}}}},
    {{{{0, U"ВГРС"}, {kC1 | kBad | kQuotes | kCurrency, U"°µ"}, {0, U"ВГРС"}}}},
    // Â and Ã: before a no-break space or a space in its place, and before characters that Â
    // repeats.
    {{{{0, U"Ã"}, {0, U"\u00a0¡"}}}},
    {{{{kAsciiLower}, {0, U"ÃÂ"}, {0, U" "}}}},
    {{{{kAsciiLower}, {kSpace}, {0, U"ÃÂ"}, {0, U" "}}}},
    {{{{kAsciiLower | kClosing, U".,?!"}, {0, U"Â"}, {kQuotes, U" "}}}},
    // Windows-1253: punctuation, Latin-1 or Greek.
    {{{{0, U"β"}, {0, U"€"}, {0, U"™\u00a0Ά\u00ad®°"}}}},
    {{{{0, U"ΒΓΞΟ"}, {kC1 | kBad | kQuotes | kCurrency, U"°"}, {0, U"ΒΓΞΟ"}}}},
    // Windows-1257: punctuation.
    {{{{0, U"ā"}, {0, U"€"}}}},
};

/// Windows-1252, read as Latin-1 and then as Windows-1251, next to a Latin letter or a space.
inline constexpr std::u32string_view kTwiceMistaken = U"ГўВЂВ";
}  // namespace mojibake

/// Returns whether any part of `text` looks like mojibake.
inline bool looks_like_mojibake(std::u32string_view text) {
  using namespace mojibake;
  const auto fits = [&](const Place& place, std::size_t i, std::uint32_t sets) {
    return (sets & place.sets) != 0 || place.also.find(text[i]) != std::u32string_view::npos;
  };
  std::u32string sets(text.size(), U'\0');
  std::transform(text.begin(), text.end(), sets.begin(),
                 [](char32_t c) { return static_cast<char32_t>(character_sets(c)); });
  const auto matches = [&](const Sequence& sequence, std::size_t at) {
    for (const Place& place : sequence.places) {
      if (place.sets == 0 && place.also.empty()) break;
      if (at == text.size() || !fits(place, at, sets[at])) return false;
      ++at;
    }
    return true;
  };
  const auto twice_mistaken = [&](std::size_t at) {
    constexpr auto kLead = kTwiceMistaken;
    const std::size_t after = at + kLead.size();
    return text.substr(at, kLead.size()) == kLead && after + 1 < text.size() &&
           (sets[after] & kNotNewline) != 0 &&
           ((sets[after + 1] & kAsciiLetter) != 0 || text[after + 1] == ' ');
  };
  if (text.size() > 1 && (text[0] == U'Ã' || text[0] == U'Â') && text[1] == ' ') return true;
  for (std::size_t i = 0; i < text.size(); ++i) {
    // Every sequence has a non-ASCII character among its first three.
    if (is_ascii(text.substr(i, 3))) continue;
    for (const Sequence& sequence : kSequences)
      if (matches(sequence, i)) return true;
    if (twice_mistaken(i)) return true;
  }
  return false;
}

}  // namespace contrapunto::detail
