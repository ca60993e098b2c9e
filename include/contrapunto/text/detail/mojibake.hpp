// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "contrapunto/text/detail/badness.hpp"
#include "contrapunto/text/detail/codecs.hpp"
#include "contrapunto/text/detail/unicode_text.hpp"

/// Repairs UTF-8 that was read as a single-byte encoding, once or several times, entirely or in
/// parts, with the decisions of ftfy 6.3. It is plain C++ without Torch.
namespace contrapunto::detail {

/// A set of bytes as up to four ranges.
struct ByteSet {
  struct Range {
    unsigned char first = 1, last = 0;
  };
  std::array<Range, 4> ranges;

  [[nodiscard]] bool has(char c) const {
    const auto byte = static_cast<unsigned char>(c);
    for (const Range& r : ranges)
      if (byte >= r.first && byte <= r.last) return true;
    return false;
  }
};

/// Up to five consecutive bytes, each from a set; positions from `length` on are unused.
struct ByteSequence {
  std::size_t length;
  std::array<ByteSet, 5> places;

  [[nodiscard]] bool matches(std::string_view bytes, std::size_t at) const {
    if (bytes.size() - at < length) return false;
    for (std::size_t i = 0; i < length; ++i)
      if (!places[i].has(bytes[at + i])) return false;
    return true;
  }
};

namespace utf8_damage {
inline constexpr ByteSet kBlank{{{{0x20, 0x20}}}};
inline constexpr ByteSet kTail{{{{0x80, 0xBF}}}};
// Continuation bytes that occur in text next to a lost A0. Byte 85 is excluded because it is
// usually the ellipsis.
inline constexpr ByteSet kLikelyTail{{{{0x80, 0x84}, {0x86, 0x9F}, {0xA1, 0xBF}}}};
inline constexpr ByteSet kLead4{{{{0xF0, 0xF0}}}};

/// UTF-8 sequences in which a space replaced byte A0. Two-byte sequences are limited to likely
/// characters: no-break space, a grave, S caron, capital pi, Cyrillic er, Arabic zero.
inline constexpr ByteSequence kBlanked[] = {
    {2, {{{{{{0xC2, 0xC3}, {0xC5, 0xC5}, {0xCE, 0xCE}, {0xD0, 0xD0}}}}, kBlank}}},
    {2, {{{{{{0xD9, 0xD9}}}}, kBlank}}},
    {3, {{{{{{0xE2, 0xE3}}}}, kBlank, kLikelyTail}}},
    {3, {{{{{{0xE0, 0xE3}}}}, kLikelyTail, kBlank}}},
    {4, {{kLead4, kBlank, kTail, kTail}}},
    {4, {{kLead4, kTail, kBlank, kTail}}},
    {4, {{kLead4, kTail, kTail, kBlank}}},
};

inline constexpr ByteSet kGone{{{{0x1A, 0x1A}}}};
inline constexpr ByteSet kGoneOrQuestion{{{{0x1A, 0x1A}, {'?', '?'}}}};
inline constexpr ByteSet kGoneOrTail{{{{0x1A, 0x1A}, {0x80, 0xBF}}}};
inline constexpr ByteSet kGoneQuestionOrTail{{{{0x1A, 0x1A}, {'?', '?'}, {0x80, 0xBF}}}};
inline constexpr ByteSet kSurrogateLead{{{{0xED, 0xED}}}};
inline constexpr ByteSet kHighSurrogate{{{{0xA0, 0xAF}}}};
inline constexpr ByteSet kLowSurrogate{{{{0xB0, 0xBF}}}};
inline constexpr ByteSet kAnyLead3{{{{0xE0, 0xEF}}}};
inline constexpr ByteSet kAnyLead4{{{{0xF0, 0xF4}}}};
}  // namespace utf8_damage

/// Returns the length of the UTF-8 or CESU-8 sequence at `at` that has lost some of its
/// continuation bytes; 0 if there is none. Byte 1A marks a lost byte, and so does a question mark,
/// at most once. A single 1A also counts.
inline std::size_t lossy_length(std::string_view bytes, std::size_t at) {
  using namespace utf8_damage;
  static constexpr ByteSequence kLossy[] = {
      {2, {{{{{{0xC2, 0xDF}}}}, kGone}}},
      {2, {{{{{{0xC2, 0xC3}}}}, {{{{'?', '?'}}}}}}},
      {3, {{kAnyLead3, kGoneOrQuestion, kGoneOrTail}}},
      {3, {{kAnyLead3, kGoneOrTail, kGoneOrQuestion}}},
      {4, {{kAnyLead4, kGoneOrQuestion, kGoneOrTail, kGoneOrTail}}},
      {4, {{kAnyLead4, kGoneOrTail, kGoneOrQuestion, kGoneOrTail}}},
      {4, {{kAnyLead4, kGoneOrTail, kGoneOrTail, kGoneOrQuestion}}},
      {1, {{kGone}}},
  };
  // A surrogate pair has six bytes, of which the last or the third must be lost.
  static constexpr ByteSequence kPair = {
      5, {{kSurrogateLead, kHighSurrogate, kGoneQuestionOrTail, kSurrogateLead, kLowSurrogate}}};
  if (bytes.size() - at >= 6 && kPair.matches(bytes, at) &&
      kGoneQuestionOrTail.has(bytes[at + 5]) &&
      (kGoneOrQuestion.has(bytes[at + 2]) || kGoneOrQuestion.has(bytes[at + 5])))
    return 6;
  for (const ByteSequence& sequence : kLossy)
    if (sequence.matches(bytes, at)) return sequence.length;
  return 0;
}

/// Replaces each sequence with lost bytes by U+FFFD in UTF-8.
inline std::string replace_lossy_sequences(std::string_view bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size();) {
    const std::size_t length = lossy_length(bytes, i);
    if (length == 0) {
      out += bytes[i++];
    } else {
      append_utf8(out, kReplacementCharacter);
      i += length;
    }
  }
  return out;
}

/// Returns the length of the sequence of `kBlanked` at `at`; 0 if there is none.
inline std::size_t blanked_length(std::string_view bytes, std::size_t at) {
  for (const ByteSequence& sequence : utf8_damage::kBlanked)
    if (sequence.matches(bytes, at)) return sequence.length;
  return 0;
}

inline bool has_blanked_sequence(std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size(); ++i)
    if (blanked_length(bytes, i) != 0) return true;
  return false;
}

/// Restores byte A0 where a space replaced it within UTF-8. The word "à", which is C3 and a space,
/// also keeps its space, unless the following text continues a Portuguese contraction with à.
inline std::string restore_no_break_bytes(std::string_view bytes) {
  std::string words;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    words += bytes[i];
    if (bytes.substr(i, 2) != "\xC3 ") continue;
    const std::string_view rest = bytes.substr(i + 2);
    bool contraction = false;
    for (const std::string_view end : {" ", "quele", "quela", "quilo", "s "})
      contraction = contraction || rest.substr(0, end.size()) == end;
    if (!contraction) words += '\xA0';
  }
  std::string out;
  for (std::size_t i = 0; i < words.size();) {
    const std::size_t length = std::max<std::size_t>(1, blanked_length(words, i));
    for (const std::size_t end = i + length; i < end; ++i)
      out += length > 1 && words[i] == ' ' ? '\xA0' : words[i];
  }
  return out;
}

/// The possible roles of a character if UTF-8 was read as Latin-1 or as a Windows encoding.
enum Utf8Role : unsigned {
  kLeadOf2 = 1,
  kLeadOf3 = 2,
  kLeadOf4 = 4,
  kFollower = 8,
  kSureFollower = 16
};

inline unsigned utf8_roles(char32_t c) {
  static const auto table = [] {
    constexpr std::size_t kLatin1AndWindows = 7;
    constexpr std::u32string_view kAlsoThemselves = U"–—―‘’‚“”„•…";
    std::unordered_map<char32_t, unsigned> roles;
    for (std::size_t k = 0; k < kLatin1AndWindows; ++k) {
      for (unsigned byte = 0x80; byte < 0xF4; ++byte) {
        const char32_t decoded = single_byte_codecs()[k].decode(static_cast<unsigned char>(byte));
        const bool sure = kAlsoThemselves.find(decoded) == std::u32string_view::npos;
        if (byte < 0xC0) roles[decoded] |= sure ? kFollower | kSureFollower : kFollower;
        if (byte >= 0xC2 && byte < 0xE0) roles[decoded] |= kLeadOf2;
        if (byte >= 0xE0 && byte < 0xF0) roles[decoded] |= kLeadOf3;
        if (byte == 0xF0 || byte == 0xF3) roles[decoded] |= kLeadOf4;
      }
    }
    roles[U' '] = kFollower;  // It may stand for a no-break space.
    return roles;
  }();
  const auto found = table.find(c);
  return found == table.end() ? 0U : found->second;
}

/// Returns the length of the run of complete UTF-8-like sequences at `at`. Returns 0 if there is
/// none, or if a certain continuation byte precedes it, so that no part of a longer garbled
/// sequence is matched.
inline std::size_t utf8_like_length(std::u32string_view text, std::size_t at) {
  if (at > 0 && (utf8_roles(text[at - 1]) & kSureFollower) != 0) return 0;
  std::size_t end = at;
  while (end < text.size()) {
    const unsigned roles = utf8_roles(text[end]);
    std::size_t length = 0;
    for (std::size_t n = 2; n <= 4 && length == 0; ++n) {
      if ((roles & (n == 2 ? kLeadOf2 : n == 3 ? kLeadOf3 : kLeadOf4)) == 0) continue;
      std::size_t followers = 0;
      while (followers < n - 1 && end + 1 + followers < text.size() &&
             (utf8_roles(text[end + 1 + followers]) & kFollower) != 0)
        ++followers;
      if (followers == n - 1) length = n;
    }
    if (length == 0) break;
    end += length;
  }
  return end - at;
}

inline std::u32string repair_encoding(std::u32string text);

/// Repairs each UTF-8-like run that looks wrong on its own. It is used if no single encoding
/// explains the whole text.
inline std::u32string repair_embedded(std::u32string_view text) {
  std::u32string out;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_like_length(text, i);
    if (length == 0) {
      out += text[i++];
      continue;
    }
    const std::u32string_view run = text.substr(i, length);
    // The whole text has already been tried, and trying it again would never end.
    out += length < text.size() && looks_like_mojibake(run) ? repair_encoding(std::u32string(run))
                                                            : std::u32string(run);
    i += length;
  }
  return out;
}

/// Replaces C1 control characters by the Windows-1252 characters that were intended.
inline std::u32string replace_c1_controls(std::u32string text) {
  for (char32_t& c : text)
    if (c >= 0x80 && c <= 0x9F) c = decode_windows_1252(c);
  return text;
}

/// Decodes as UTF-8 the bytes of `text` in `codec`, with which it was read by mistake. Returns
/// nothing if they are not UTF-8.
inline std::optional<std::u32string> reinterpret_as_utf8(std::u32string_view text,
                                                         const SingleByteCodec& codec) {
  auto bytes = codec.encode(text);
  if (!bytes) return std::nullopt;
  // In Mac Roman such a sequence is an en dash and a space, which is common.
  if (codec.name() != "macroman" && has_blanked_sequence(*bytes))
    bytes = restore_no_break_bytes(*bytes);
  if (codec.windows()) bytes = replace_lossy_sequences(*bytes);
  const bool variants = bytes->find_first_of("\xED\xC0") != std::string::npos;
  return variants ? decode_utf8_variants(*bytes) : decode_strict_utf8(*bytes);
}

/// Performs one step of the repair. Returns `text` itself if there is nothing to repair.
inline std::u32string repair_encoding_once(const std::u32string& text) {
  if (is_ascii(text) || !looks_like_mojibake(text)) return text;
  for (const SingleByteCodec& codec : single_byte_codecs())
    if (auto meant = reinterpret_as_utf8(text, codec)) return *std::move(meant);
  if (std::u32string repaired = repair_embedded(text); repaired != text) return repaired;
  // The rest is at best Windows-1252 that was read as Latin-1.
  return replace_c1_controls(text);
}

/// Repairs mojibake until nothing changes anymore.
inline std::u32string repair_encoding(std::u32string text) {
  for (;;) {
    std::u32string repaired = repair_encoding_once(text);
    if (repaired == text) return text;
    text = std::move(repaired);
  }
}

}  // namespace contrapunto::detail
