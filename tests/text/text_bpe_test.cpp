// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/text/detail/bpe.hpp"

#include <map>
#include <random>
#include <set>
#include <sstream>

#include "support/catch.hpp"

namespace {

using contrapunto::detail::BpeModel;
using Ids = std::vector<std::int64_t>;
using Pair = std::pair<std::string, std::string>;

std::string merges_file(const std::vector<Pair>& merges) {
  std::string text = "#version: test\n";
  for (const auto& [left, right] : merges) text += left + ' ' + right + '\n';
  return text;
}

/// The definition, with strings: join every pair of the lowest rank from left to right, and repeat.
std::vector<std::string> naive(const std::string& word, const std::vector<Pair>& merges) {
  std::vector<std::string> symbols;
  for (const char c : word) symbols.emplace_back(1, c);
  symbols.back() += "</w>";
  for (;;) {
    std::size_t lowest = merges.size();
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = std::find(merges.begin(), merges.end(), Pair{symbols[i], symbols[i + 1]});
      lowest = std::min(lowest, static_cast<std::size_t>(found - merges.begin()));
    }
    if (lowest == merges.size()) return symbols;
    std::vector<std::string> joined;
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      if (i + 1 < symbols.size() && merges[lowest] == Pair{symbols[i], symbols[i + 1]}) {
        joined.push_back(symbols[i] + symbols[i + 1]);
        ++i;
      } else {
        joined.push_back(symbols[i]);
      }
    }
    symbols = joined;
  }
}

}  // namespace

TEST_CASE("Merging in rounds agrees with the definition on random merges", "[tokenizer][cpu]") {
  std::mt19937 random(7);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  for (int trial = 0; trial < 60; ++trial) {
    // Ranks in random order of length, so that a round may create a pair more urgent than its own.
    std::vector<std::string> known{"a", "b", "c", "a</w>", "b</w>", "c</w>"};
    std::set<std::string> taken(known.begin(), known.end());
    std::vector<Pair> merges;
    while (merges.size() < 25) {
      const std::string left = known[below(known.size())];
      const std::string right = known[below(known.size())];
      if (left.back() == '>' || left.size() + right.size() > 10) continue;
      if (!taken.insert(left + right).second) continue;
      merges.emplace_back(left, right);
      known.push_back(left + right);
    }
    const BpeModel model(merges_file(merges), merges.size());
    for (int n = 0; n < 60; ++n) {
      std::string word;
      for (std::size_t length = 1 + below(n == 0 ? 90 : 20); length > 0; --length)
        word += static_cast<char>('a' + below(3));
      Ids ids;
      model.encode_word(word, ids);
      Ids again;
      model.encode_word(word, again);  // from the cache, when the word is short
      CHECK(again == ids);
      std::vector<std::string> spelled;
      for (const auto id : ids) {
        std::string s = model.spelling(static_cast<std::size_t>(id));
        if (s.back() == ' ') s.replace(s.size() - 1, 1, "</w>");
        spelled.push_back(s);
      }
      CHECK(spelled == naive(word, merges));
    }
  }
}

TEST_CASE("Bytes come in the order of CLIP's vocabulary", "[tokenizer][cpu]") {
  const BpeModel model(merges_file({}), 0);
  CHECK(model.vocab_size() == 514);
  const auto id = [&](const std::string& word) {
    Ids ids;
    model.encode_word(word, ids);
    return ids.at(0) - 256;  // the word's only byte ends it
  };
  CHECK(id("!") == 0);
  CHECK(id("~") == 93);
  CHECK(id("\xA1") == 94);
  CHECK(id("\xFF") == 187);
  CHECK(id(std::string(1, '\0')) == 188);
  CHECK(id(" ") == 220);
  CHECK(id("\x7F") == 221);
  CHECK(id("\xAD") == 255);
}

TEST_CASE("A damaged list of merges names the line", "[tokenizer][cpu]") {
  const auto complaint = [](const std::string& text, std::size_t count) -> std::string {
    try {
      BpeModel model(text, count);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  CHECK(complaint("head\na b\nab c\n", 2).empty());
  CHECK(complaint("head\r\na b\r\nab c\r\n", 2).empty());
  CHECK(complaint("head\na b\nab c\n", 3) == "it ends after 2 of 3 merges");
  CHECK(complaint("", 1) == "it ends after 0 of 1 merges");
  CHECK(complaint("head\na b\nac c\n", 2).find("line 3 ") == 0);
  CHECK(complaint("head\nab\n", 1).find("line 2 ") == 0);
  CHECK(complaint("head\na b\na b\n", 2).find("line 3 makes") == 0);
}
