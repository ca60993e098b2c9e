// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/text/make_tokenizer.hpp"

#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("Without a vocabulary, bytes are the tokens", "[text][cpu]") {
  const auto tokenizer = make_tokenizer("", 12);
  const auto expected = Tokenizer(ByteTokenizer({.context_length = 12}));
  REQUIRE(tokenizer.context_length == 12);
  REQUIRE(tokenizer.encode("a cat") == expected.encode("a cat"));
}

TEST_CASE("A missing vocabulary file is named", "[text][cpu]") {
  REQUIRE_THROWS_WITH(make_tokenizer("no-such-vocabulary.txt.gz", 77),
                      Catch::Matchers::Contains("no-such-vocabulary.txt.gz"));
}
