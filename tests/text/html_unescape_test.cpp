// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/text/detail/html_unescape.hpp"

#include "support/catch.hpp"

using contrapunto::detail::html_entities;
using contrapunto::detail::unescape_html;
using contrapunto::detail::unescape_unambiguous_html;

// Expected values are those of CPython 3.11's html.unescape and of ftfy 6.3.1.
TEST_CASE("Character references are read as HTML 5 says", "[tokenizer][cpu]") {
  const std::pair<std::u32string, std::u32string> cases[] = {
      {U"&lt;&amp;amp;&gt", U"<&amp;>"},
      {U"&#65;&#x42;&#X43&#68x", U"ABCDx"},
      {U"&#128;&#x81;&#13;", U"\u20AC\u0081\r"},
      {U"&#0;&#xD800;&#x110000;&#99999999999999999999;", U"\uFFFD\uFFFD\uFFFD\uFFFD"},
      {U"a&#1;&#xFDD0;&#x1FFFE;b", U"ab"},
      {U"&notit; &notin; &not", U"¬it; ∉ ¬"},
      {U"&copy2024 &bogus; &; &#; &#x; & &#xg", U"©2024 &bogus; &; &#; &#x; & &#xg"},
      {U"&CounterClockwiseContourIntegral;&acE;", U"\u2233\u223E\u0333"},
      {U"&EACUTE;&euml", U"&EACUTE;ë"},
      {U"&amp" + std::u32string(40, U'é'), U"&" + std::u32string(40, U'é')},
  };
  for (const auto& [text, expected] : cases) CHECK(unescape_html(text) == expected);
}

TEST_CASE("The strict HTML unescape needs semicolons and knows names in capitals",
          "[tokenizer][cpu]") {
  const std::pair<std::u32string, std::u32string> cases[] = {
      {U"&amp;&amp &copy2024; &notit;", U"&&amp &copy2024; &notit;"},
      {U"P&EACUTE;REZ STRA&SZLIG;E &nTILDE; &NBSP;", U"PÉREZ STRASSE &nTILDE; \u00A0"},
      {U"&#65;&#59;&#65a;&#xyz;&#x1F600;", U"A&#59;&#65a;&#xyz;😀"},
      {U"&CounterClockwiseContourIntegral;",
       U"&CounterClockwiseContourIntegral;"},  // over 24 letters
      {U"&&lt;;&", U"&<;&"},
  };
  for (const auto& [text, expected] : cases) CHECK(unescape_unambiguous_html(text) == expected);
}

TEST_CASE("The table has all names of HTML 5", "[tokenizer][cpu]") {
  CHECK(html_entities().names.size() == 2125);
  CHECK(html_entities().capitals.size() == 1376);
  CHECK(std::count_if(html_entities().names.begin(), html_entities().names.end(),
                      [](const auto& entry) { return entry.second.bare; }) == 106);
}
