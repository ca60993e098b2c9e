// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include <zlib.h>

#include <fstream>
#include <set>

#include "contrapunto/data/text_pair_loader.hpp"
#include "contrapunto/data/text_pairs.hpp"
#include "contrapunto/text/byte_tokenizer.hpp"
#include "io/temporary_folder.hpp"
#include "support/catch.hpp"
#include "support/some_rank.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

std::vector<TextPair> some_pairs(int count, int groups) {
  std::vector<TextPair> pairs;
  for (int i = 0; i < count; ++i)
    pairs.push_back({"q" + std::to_string(i), "code " + std::to_string(i),
                     groups > 0 ? "file" + std::to_string(i % groups) : ""});
  return pairs;
}

Tokenizer bytes() {
  return ByteTokenizer({.context_length = 12});
}

/// The text of a row of tokens.
std::string text_of(const at::Tensor& row) {
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < row.size(0); ++i)
    if (const auto id = row[i].item<std::int64_t>(); id != 0) ids.push_back(id);
  return ByteTokenizer().decode(ids);
}

}  // namespace

TEST_CASE("Text pairs are read from JSON lines, and bad lines are counted", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "pairs.jsonl";
  std::ofstream(path) << R"({"query": "add", "code": "a + b", "file": "m.py"})"
                      << "\n\n[1]\n"
                      << R"({"query": "", "code": "x"})"
                      << "\n{\"query\": \"cut\n"
                      << R"({"query": "ünï", "code": "y", "file": "n.py"})";
  const auto read = read_text_pairs(path, {.group = "file"});
  REQUIRE(read.pairs.size() == 2);
  CHECK(read.pairs[0].x == "add");
  CHECK(read.pairs[0].y == "a + b");
  CHECK(read.pairs[1].group == "n.py");
  CHECK(read.report.skipped == 3);
  CHECK_THAT(read.report.first[0], Contains("pairs.jsonl:3: no JSON object"));
  CHECK_THAT(read.report.first[1], Contains("field 'query' is missing or empty"));
  CHECK_THROWS_WITH(read_text_pairs(path, {.x = "title"}), Contains("no text pair with fields"));
  CHECK_THROWS_WITH(read_text_pairs(folder.path() / "none"), Contains("there is no such file"));
}

TEST_CASE("An epoch of text pairs has every pair once, in an order that depends on the seed",
          "[data][cpu]") {
  TextPairLoader loader(some_pairs(23, 0), bytes(), bytes(), {.batch_size = 5});
  CHECK(loader.batches_per_epoch() == 4);
  const auto epoch = [&](TextPairLoader& from, std::int64_t number) {
    std::vector<std::string> keys;
    from.start_epoch(number);
    while (const auto batch = from.next()) {
      CHECK(batch->size() == 5);
      for (std::int64_t i = 0; i < 5; ++i) {
        CHECK(text_of(batch->at("x")[i]) == "q" + batch->keys[static_cast<std::size_t>(i)]);
        CHECK(text_of(batch->at("y")[i]) == "code " + batch->keys[static_cast<std::size_t>(i)]);
      }
      keys.insert(keys.end(), batch->keys.begin(), batch->keys.end());
    }
    return keys;
  };
  const auto first = epoch(loader, 0);
  CHECK(first.size() == 20);
  CHECK(std::set<std::string>(first.begin(), first.end()).size() == 20);
  CHECK(epoch(loader, 0) == first);
  CHECK(epoch(loader, 1) != first);
  TextPairLoader other(some_pairs(23, 0), bytes(), bytes(), {.batch_size = 5, .seed = 1});
  CHECK(epoch(other, 0) != first);

  // Resuming at a pair, and two ranks, give the same pairs.
  loader.start_epoch(0, 10);
  CHECK(loader.next()->keys == std::vector<std::string>(first.begin() + 10, first.begin() + 15));
  std::set<std::string> together;
  for (const auto rank : {0, 1}) {
    TextPairLoader part(some_pairs(23, 0), bytes(), bytes(),
                        {.batch_size = 5, .ranks = Ranks(test::SomeRank(rank, 2))});
    for (const auto& key : epoch(part, 0)) CHECK(together.insert(key).second);
  }
  CHECK(together.size() == 20);
}

TEST_CASE("A saved loader of text pairs continues with another batch size and ranks",
          "[data][cpu]") {
  TextPairLoader one(some_pairs(30, 0), bytes(), bytes(), {.batch_size = 1});
  one.start_epoch(3);
  std::vector<std::string> expected;
  while (const auto batch = one.next()) expected.push_back(batch->keys[0]);
  TextPairLoader before(some_pairs(30, 0), bytes(), bytes(), {.batch_size = 6});
  before.start_epoch(3);
  auto seen = before.next()->keys;
  const State state = before.save_state();
  CHECK(state.scalar<std::int64_t>("samples") == 6);
  std::vector<TextPairLoader> ranks;
  for (const std::int64_t rank : {0, 1, 2}) {
    ranks.emplace_back(
        some_pairs(30, 0), bytes(), bytes(),
        TextPairLoaderOptions{.batch_size = 4, .ranks = Ranks(test::SomeRank(rank, 3))});
    ranks.back().load_state(state);
    CHECK(ranks.back().epoch() == 3);
  }
  for (int batch = 0; batch < 2; ++batch)
    for (auto& loader : ranks) {
      const auto given = loader.next();
      seen.insert(seen.end(), given->keys.begin(), given->keys.end());
    }
  CHECK_FALSE(ranks[0].next());
  CHECK(seen == expected);
  CHECK(ranks[0].statistics().samples == 8);
  CHECK(ranks[0].statistics().times.wait > 0);
  CHECK_THROWS_WITH(one.start_epoch(0, 31), Contains("first_sample (31)"));
}

TEST_CASE("Text pairs are read from a gzip file", "[data][cpu]") {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "pairs.jsonl.gz";
  const gzFile file = gzopen(path.c_str(), "wb");
  REQUIRE(gzputs(file, "{\"query\": \"add\", \"code\": \"a + b\"}\n") > 0);
  REQUIRE(gzclose(file) == Z_OK);
  CHECK(read_text_pairs(path).pairs[0].y == "a + b");
}

TEST_CASE("Hard negatives come from the group, never the pair itself", "[data][cpu]") {
  TextPairLoader loader(some_pairs(30, 5), bytes(), bytes(),
                        {.batch_size = 10, .hard_negatives = 2});
  loader.start_epoch(0);
  bool varies = false;
  while (const auto batch = loader.next()) {
    const auto& negatives = batch->at("negatives");
    REQUIRE(negatives.size(0) == 10);
    REQUIRE(negatives.size(1) == 2);
    for (std::int64_t i = 0; i < 10; ++i) {
      const int own = std::stoi(batch->keys[static_cast<std::size_t>(i)]);
      std::vector<int> others;
      for (std::int64_t k = 0; k < 2; ++k)
        others.push_back(std::stoi(text_of(negatives[i][k]).substr(5)));
      for (const int other : others) {
        CHECK(other % 5 == own % 5);
        CHECK(other != own);
      }
      varies = varies || others[0] != others[1];
    }
  }
  CHECK(varies);
  // A pair that is alone in its group gets any other pair.
  TextPairLoader alone(some_pairs(3, 3), bytes(), bytes(), {.batch_size = 3, .hard_negatives = 1});
  alone.start_epoch(0);
  CHECK(alone.next()->at("negatives").size(0) == 3);
}

TEST_CASE("A text pair loader refuses what gives no batch", "[data][cpu]") {
  CHECK_THROWS_WITH(TextPairLoader(some_pairs(7, 0), bytes(), bytes(), {.batch_size = 8}),
                    Contains("7 pairs are fewer than one batch of 8"));
  CHECK_THROWS_WITH(TextPairLoader(some_pairs(7, 0), bytes(), bytes(), {.batch_size = 0}),
                    Contains("batch_size (0)"));
}
