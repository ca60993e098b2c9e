// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/text/detail/cleaning.hpp"

#include <string>
#include <vector>

#include "contrapunto/text/detail/words.hpp"
#include "support/catch.hpp"

using namespace contrapunto::detail;

namespace {

std::string repair(const std::string& text) {
  return encode_utf8(repair_text(decode_utf8(text)));
}

/// UTF-8 bytes read as one of the single-byte encodings.
std::string misread(const std::string& text, std::size_t codec) {
  std::u32string wrong;
  for (const char c : text)
    wrong += single_byte_codecs()[codec].decode(static_cast<unsigned char>(c));
  return encode_utf8(wrong);
}

std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> pieces;
  for_each_word(text, [&](std::string_view piece) { pieces.emplace_back(piece); });
  return pieces;
}

}  // namespace

TEST_CASE("Mojibake of every supported encoding is repaired", "[tokenizer][cpu]") {
  const std::string text = "✔ naïve Übung — “Привет” 日本語";
  const std::string straight = "✔ naïve Übung — \"Привет\" 日本語";
  for (std::size_t codec = 0; codec < single_byte_codecs().size(); ++codec) {
    INFO(single_byte_codecs()[codec].name());
    CHECK(repair(misread(text, codec)) == straight);
  }
  CHECK(repair(misread(misread(text, 1), 1)) == straight);
  CHECK(repair(straight) == straight);
}

// Expected values of the next three cases are those of ftfy 6.3.1.
TEST_CASE("Parts, losses and blanks in mojibake are repaired", "[tokenizer][cpu]") {
  CHECK(repair("voilÃ le travail, Ã la mode") == "voilà le travail, à la mode");
  CHECK(repair("â€œ like this â€�") == "\" like this �");
  CHECK(repair("l’humanitÃ© et 日本") == "l'humanité et 日本");
  CHECK(repair("This is what\x20\xC2\x85 I mean\xC2\x92s") == "This is what … I mean's");
  CHECK(repair("Ångström, ÅÄÖ, ‘quoted’ Ã") == "Ångström, ÅÄÖ, 'quoted' Ã");
}

TEST_CASE("References are unescaped until a line holds a tag", "[tokenizer][cpu]") {
  CHECK(repair("a &amp; b\n<i>&amp;\n&amp;") == "a & b\n<i>&amp;\n&amp;");
  CHECK(repair("&lt;b&gt; &eacute;") == "<b> é");
}

TEST_CASE("Ligatures, widths, quotes, breaks, escapes and controls become plain",
          "[tokenizer][cpu]") {
  CHECK(repair("ﬂuﬃeﬆ ŉ ǅ") == "fluffiest 'n D\u017e");
  CHECK(repair("ＬＯＵＤ　ﾉｲｽﾞ") == "LOUD ノイズ");
  CHECK(repair("‘a’ “b” ‛c‟") == "'a' \"b\" 'c\"");
  CHECK(repair("a\r\nb\rc\u2028d") == "a\nb\nc\nd");
  CHECK(repair("\x1B[36;44mblue\x1B[0m \x1B[x") == "blue ");
  CHECK(repair({"a\0b\x07\x7F\u206A\uFEFF\uFFFC\u200D", 17}) == "ab\u200D");
  CHECK(repair("e\u0301") == "é");
}

TEST_CASE("Cleaning plain ASCII takes a shortcut to the same result", "[tokenizer][cpu]") {
  const std::string text = " A  photo\tof\r\n\fa CAT's <b>toy</b>;  ";
  CHECK(clean_text(text) == "a photo of a cat's <b>toy</b>;");
  CHECK(is_plain_ascii(text));
  CHECK(clean_text(text) == encode_utf8(to_lower(collapse_white_space(
                                unescape_html(unescape_html(repair_text(decode_utf8(text))))))));
  CHECK_FALSE(is_plain_ascii("a\x0B"));
  CHECK(clean_text("a\x0B"
                   "b &amp;amp;amp; c") == "ab & c");
  CHECK(clean_text(" \n").empty());
}

TEST_CASE("Text is cut into words, single numbers and symbols", "[tokenizer][cpu]") {
  using Words = std::vector<std::string>;
  CHECK(words("isn't it's we'll 'tis!?") ==
        Words{"isn", "'t", "it", "'s", "we", "'ll", "'t", "is", "!?"});
  CHECK(words("a1b23½") == Words{"a", "1", "b", "2", "3", "½"});
  CHECK(words("été猫 ٣ -'s") == Words{"été猫", "٣", "-'", "s"});
  CHECK(words("<start_of_text><end_of_text>!<end_of_text>") ==
        Words{"<start_of_text>", "<end_of_text>", "!<", "end", "_", "of", "_", "text", ">"});
  CHECK(words("'ſ <ſtart_of_text>") == Words{"'ſ", "<ſtart_of_text>"});
  CHECK(words("a\u0345b !\u0345!") == Words{"a", "b", "!", "!"});
  CHECK(words("").empty());
}
