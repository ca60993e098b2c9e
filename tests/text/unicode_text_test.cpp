// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/text/detail/unicode_text.hpp"

#include "support/catch.hpp"

using namespace contrapunto::detail;

namespace {
std::u32string lost(std::size_t n) {
  return std::u32string(n, kReplacementCharacter);
}
}  // namespace

TEST_CASE("Every code point survives UTF-8, and surrogates are invalid bytes", "[tokenizer][cpu]") {
  std::u32string all;
  for (char32_t c = 0; c < 0x110000; ++c)
    if (c < 0xD800 || c > 0xDFFF) all += c;
  CHECK(decode_utf8(encode_utf8(all)) == all);
  CHECK(decode_utf8("\xED\xA0\x80") == lost(3));
}

TEST_CASE("Each maximal invalid subpart becomes one U+FFFD", "[tokenizer][cpu]") {
  // The example of the Unicode standard, table 3-11 (version 15), and its neighbors.
  CHECK(decode_utf8("a\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64") ==
        U"a" + lost(3) + U"b" + lost(1) + U"c" + lost(2) + U"d");
  CHECK(decode_utf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41") == lost(8) + U"A");
  CHECK(decode_utf8("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42") == lost(5) + U"A" + lost(2) + U"B");
  CHECK(decode_utf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41") == lost(4) + U"A");
  CHECK(decode_utf8("\xF0\x9F\x98") == lost(1));
}

TEST_CASE("Lower-casing handles the final sigma and the dotted capital I", "[tokenizer][cpu]") {
  // Values of CPython 3.11's str.lower.
  CHECK(to_lower(U"ΟΔΥΣΣΕΥΣ Σ ΑΣ' ΑΣ'Α") == U"οδυσσευς σ ας' ασ'α");
  CHECK(to_lower(U"Α\u0301Σ\u0301Α ªΣ ⅧΣ 1Σ") == U"α\u0301σ\u0301α ªς ⅷς 1σ");
  CHECK(to_lower(U"İSTANBUL ẞ Ω") == U"i\u0307stanbul ß ω");
}

TEST_CASE("Unicode composition is canonical unless compatibility is requested",
          "[tokenizer][cpu]") {
  CHECK(compose(U"e\u0301") == U"é");
  CHECK(compose(U"a\u0323\u0302") == compose(U"a\u0302\u0323"));
  CHECK(compose(U"\u1112\u1161\u11AB") == U"한");
  CHECK(compose(U"\u212B\u0958") == U"\u00C5\u0915\u093C");
  CHECK(compose(U"ﬁ１") == U"ﬁ１");
  CHECK(compose(U"ﬁ１", true) == U"fi1");
}

TEST_CASE("White space is Python's, and letters of recent Unicode versions are known",
          "[tokenizer][cpu]") {
  CHECK(collapse_white_space(U" \u00A0a\u2003\u001Cb\u200B\n") == U"a b\u200B");
  CHECK(is_letter(0x1C89));   // Unicode 16
  CHECK(is_number(0x10D40));  // Unicode 16
  CHECK_FALSE(is_letter(0x378));
  CHECK_FALSE(is_white_space(0x1C));
}
