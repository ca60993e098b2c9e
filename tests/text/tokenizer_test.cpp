// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/text/tokenizer.hpp"

#include "contrapunto/text/byte_tokenizer.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("A tokenizer chosen at run time gives what the one inside gives", "[tokenizer][cpu]") {
  const ByteTokenizer bytes({.context_length = 8});
  const Tokenizer any = bytes;
  REQUIRE(any.encode("a cat") == bytes.encode_with_specials("a cat"));
  REQUIRE(any.encode_all({"a", "b c"}).equal(bytes({"a", "b c"})));
  REQUIRE(any.context_length == 8);
  REQUIRE(any.vocab_size == bytes.vocab_size());
}
