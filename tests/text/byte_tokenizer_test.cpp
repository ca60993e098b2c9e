// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/text/byte_tokenizer.hpp"

#include "support/catch.hpp"

using contrapunto::ByteTokenizer;
using Ids = std::vector<std::int64_t>;

TEST_CASE("Byte tokens are the bytes, between start and end", "[tokenizer][cpu]") {
  const ByteTokenizer tokenizer({.context_length = 6});
  CHECK(tokenizer.encode("Aé") == Ids{65, 0xC3, 0xA9});
  CHECK(tokenizer.encode_with_specials("Ab") == Ids{256, 65, 98, 257});
  CHECK(tokenizer.vocab_size() == 258);
  const at::Tensor rows = tokenizer({"", "Ab", "abcdefgh"});
  const at::Tensor expected = torch::tensor(
      {{256, 257, 0, 0, 0, 0}, {256, 65, 98, 257, 0, 0}, {256, 97, 98, 99, 100, 257}}, at::kLong);
  CHECK(torch::equal(rows, expected));
  CHECK(torch::equal(rows.argmax(1), torch::tensor({1, 3, 5}, at::kLong)));
}

TEST_CASE("Every byte survives a round trip", "[tokenizer][cpu]") {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(static_cast<unsigned char>(byte));
  const ByteTokenizer tokenizer({.context_length = 300});
  CHECK(tokenizer.decode(tokenizer.encode_with_specials(all)) == all);
}

TEST_CASE("Folding changes ASCII capitals only", "[tokenizer][cpu]") {
  const ByteTokenizer tokenizer({.lower_case = true});
  CHECK(tokenizer.decode(tokenizer.encode("AZ[@É")) == "az[@É");
}

TEST_CASE("The byte tokenizer refuses what it cannot do", "[tokenizer][cpu]") {
  CHECK_THROWS_AS(ByteTokenizer({.context_length = 1}), c10::Error);
  CHECK_THROWS_AS(ByteTokenizer().decode({258}), c10::Error);
  CHECK_THROWS_AS(ByteTokenizer().decode({-1}), c10::Error);
}
