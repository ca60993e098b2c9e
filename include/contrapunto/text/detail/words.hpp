// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>

#include "contrapunto/text/detail/unicode_text.hpp"

/// Splits a cleaned text into pieces before byte-pair merging, as CLIP does, in plain C++ without
/// Torch.
namespace contrapunto::detail {

inline constexpr std::string_view kStartOfText = "<start_of_text>";
inline constexpr std::string_view kEndOfText = "<end_of_text>";

enum class CharacterClass { kSeparator, kLetter, kNumber, kSymbol };

inline CharacterClass character_class(char32_t c) {
  if (is_letter(c)) return CharacterClass::kLetter;
  if (is_number(c)) return CharacterClass::kNumber;
  // U+0345 folds to a Greek letter, so neither the case-insensitive class of symbols nor the class
  // of letters includes it. It is dropped and separates the text around it.
  if (is_white_space(c) || c == 0x345) return CharacterClass::kSeparator;
  return CharacterClass::kSymbol;
}

/// Returns the number of bytes of `text` at `at` that spell the lower-case ASCII `pattern`; 0 if
/// they do not. Long s is the only character that is unchanged by lower-casing but still equals an
/// ASCII letter if case is ignored.
inline std::size_t matched_length(std::string_view text, std::size_t at, std::string_view pattern) {
  constexpr std::string_view kLongS = "\xC5\xBF";
  std::size_t i = at;
  for (const char p : pattern) {
    if (i < text.size() && text[i] == p) {
      ++i;
    } else if (p == 's' && text.substr(i, 2) == kLongS) {
      i += kLongS.size();
    } else {
      return 0;
    }
  }
  return i - at;
}

/// Calls `emit(piece)` for each piece of `text`, which must be valid UTF-8 in lower case. In order
/// of precedence a piece is a special string, an English contraction, a run of letters, a single
/// number or a run of symbols. White space separates pieces and is dropped.
template <class Emit>
void for_each_word(std::string_view text, Emit&& emit) {
  static constexpr std::string_view kContractions[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
  const auto literal_at = [&](std::size_t at) -> std::size_t {
    if (text[at] == '<') {
      const std::size_t start = matched_length(text, at, kStartOfText);
      return start != 0 ? start : matched_length(text, at, kEndOfText);
    }
    if (text[at] != '\'') return 0;
    for (const auto contraction : kContractions)
      if (const std::size_t length = matched_length(text, at, contraction)) return length;
    return 0;
  };
  for (std::size_t i = 0; i < text.size();) {
    std::size_t length = literal_at(i);
    if (length == 0) {
      const DecodedCharacter first = decode_character(text, i);
      const CharacterClass kind = character_class(first.value);
      length = first.length;
      if (kind == CharacterClass::kSeparator) {
        i += length;
        continue;
      }
      while (kind != CharacterClass::kNumber && i + length < text.size()) {
        const DecodedCharacter next = decode_character(text, i + length);
        if (character_class(next.value) != kind) break;
        length += next.length;
      }
    }
    emit(text.substr(i, length));
    i += length;
  }
}

}  // namespace contrapunto::detail
