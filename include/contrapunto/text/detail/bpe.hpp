// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <mutex>
#include <queue>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "contrapunto/text/detail/unicode_text.hpp"

namespace contrapunto::detail {

/// Returns, for each byte, its token and its character in the merges file. The printable part of
/// Latin-1 is represented by itself and comes first; the others are numbered from U+0100 on.
inline std::array<std::pair<std::uint32_t, std::string>, 256> byte_symbols() {
  const auto printable = [](std::size_t b) {
    return (b >= '!' && b <= '~') || (b >= 0xA1 && b != 0xAD);
  };
  std::array<std::pair<std::uint32_t, std::string>, 256> symbols;
  std::uint32_t id = 0;
  char32_t substitute = 0x100;
  for (const bool wanted : {true, false}) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      if (printable(byte) != wanted) continue;
      symbols[byte].first = id++;
      append_utf8(symbols[byte].second, wanted ? static_cast<char32_t>(byte) : substitute++);
    }
  }
  return symbols;
}

/// Number of merges of CLIP's vocabulary.
inline constexpr std::size_t kClipMerges = 48'894;

/// Byte-level BPE. The tokens are the 256 bytes, the same 256 bytes at the end of a word, one token
/// per merge, and two special tokens. It is plain C++ without Torch, so errors are
/// std::invalid_argument. Const calls may run in many threads.
class BpeModel {
 public:
  using Ids = std::vector<std::int64_t>;

  /// `merges` consists of lines. The first line is a heading, the next `count` lines have two
  /// symbols each, in order of priority, and the rest is ignored. Raises if there are too few lines
  /// and for an invalid line.
  BpeModel(std::string_view merges, std::size_t count) {
    constexpr std::string_view kEndOfWord = "</w>";
    std::unordered_map<std::string, std::uint32_t> ids;
    ids.reserve(2 * (512 + count));
    spellings_.resize(512);
    const auto symbols = byte_symbols();
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const auto [id, symbol] = symbols[byte];
      byte_ids_[byte] = id;
      spellings_[id] = spellings_[id + 256] = std::string(1, static_cast<char>(byte));
      spellings_[id + 256] += ' ';
      ids.emplace(symbol, id);
      ids.emplace(symbol + std::string(kEndOfWord), id + 256);
    }
    ranks_.reserve(2 * count);
    std::size_t at = merges.find('\n');
    for (std::size_t rank = 0; rank < count; ++rank) {
      if (at == std::string_view::npos || at + 1 >= merges.size())
        throw std::invalid_argument("it ends after " + std::to_string(rank) + " of " +
                                    std::to_string(count) + " merges");
      const std::size_t end = merges.find('\n', at + 1);
      std::string_view line = merges.substr(at + 1, end - at - 1);
      at = end;
      if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
      const std::size_t space = line.find(' ');
      const auto left = ids.find(std::string(line.substr(0, space)));
      const auto right = space == std::string_view::npos
                             ? ids.end()
                             : ids.find(std::string(line.substr(space + 1)));
      const auto line_number = std::to_string(rank + 2);
      if (left == ids.end() || right == ids.end())
        throw std::invalid_argument("line " + line_number + " is not a pair of known symbols");
      const auto id = static_cast<std::uint32_t>(512 + rank);
      if (!ids.emplace(left->first + right->first, id).second ||
          !ranks_.emplace(pair_key(left->second, right->second), static_cast<std::uint32_t>(rank))
               .second)
        throw std::invalid_argument("line " + line_number + " makes a symbol that exists already");
      spellings_.push_back(spellings_[left->second] + spellings_[right->second]);
    }
  }

  /// Number of tokens, including the two special tokens at the end: start and end.
  [[nodiscard]] std::int64_t vocab_size() const {
    return static_cast<std::int64_t>(spellings_.size()) + 2;
  }

  /// Returns the bytes of token `id`, which must not be special. A token that ends a word ends with
  /// a space.
  [[nodiscard]] const std::string& spelling(std::size_t id) const { return spellings_.at(id); }

  /// Appends the tokens of one word (its bytes, never empty) to `out`.
  void encode_word(std::string_view word, Ids& out) const {
    // Long words are rare and seldom repeated, so caching them would only cost memory.
    if (word.size() > kLongestCachedWord) return merge(word, out);
    Shard& shard = shards_[std::hash<std::string_view>{}(word) % shards_.size()];
    {
      const std::lock_guard lock(shard.mutex);
      if (const auto found = shard.words.find(word); found != shard.words.end()) {
        out.insert(out.end(), found->second.begin(), found->second.end());
        return;
      }
    }
    Ids ids;
    merge(word, ids);
    out.insert(out.end(), ids.begin(), ids.end());
    const std::lock_guard lock(shard.mutex);
    if (shard.words.size() < kCachedWordsPerShard) shard.words.emplace(word, std::move(ids));
  }

 private:
  static constexpr std::uint32_t kNoRank = std::numeric_limits<std::uint32_t>::max();
  static constexpr std::size_t kLongestCachedWord = 48;
  static constexpr std::size_t kCachedWordsPerShard = 4096;

  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
  };
  struct Shard {
    std::mutex mutex;
    std::unordered_map<std::string, Ids, TextHash, std::equal_to<>> words;
  };
  struct Symbol {
    std::uint32_t id;
    std::size_t previous, next;  // Positions; npos at the ends.
    bool alive;
  };

  static std::uint64_t pair_key(std::uint32_t left, std::uint32_t right) {
    return (std::uint64_t{left} << 32) | right;
  }

  [[nodiscard]] std::uint32_t rank(std::uint32_t left, std::uint32_t right) const {
    const auto found = ranks_.find(pair_key(left, right));
    return found == ranks_.end() ? kNoRank : found->second;
  }

  /// Merges in rounds: each round joins every pair of the lowest rank from left to right. Pairs
  /// that a round creates wait for the next round, as in the reference, because the result depends
  /// on it.
  void merge(std::string_view word, Ids& out) const {
    constexpr std::size_t kEnd = std::string_view::npos;
    std::vector<Symbol> symbols(word.size());
    for (std::size_t i = 0; i < word.size(); ++i)
      symbols[i] = {byte_ids_[static_cast<unsigned char>(word[i])], i == 0 ? kEnd : i - 1,
                    i + 1 == word.size() ? kEnd : i + 1, true};
    symbols.back().id += 256;

    using Entry = std::pair<std::uint32_t, std::size_t>;  // Rank, position of the left symbol.
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue;
    const auto rank_at = [&](std::size_t i) {
      return i == kEnd || symbols[i].next == kEnd
                 ? kNoRank
                 : rank(symbols[i].id, symbols[symbols[i].next].id);
    };
    const auto push = [&](std::size_t i) {
      if (const std::uint32_t r = rank_at(i); r != kNoRank) queue.emplace(r, i);
    };
    for (std::size_t i = 0; i < word.size(); ++i) push(i);
    std::vector<std::size_t> created;
    while (!queue.empty()) {
      const std::uint32_t lowest = queue.top().first;
      created.clear();
      while (!queue.empty() && queue.top().first == lowest) {
        const std::size_t i = queue.top().second;
        queue.pop();
        if (!symbols[i].alive || rank_at(i) != lowest) continue;  // Outdated by an earlier merge.
        Symbol& left = symbols[i];
        Symbol& right = symbols[left.next];
        left.id = 512 + lowest;
        right.alive = false;
        left.next = right.next;
        if (left.next != kEnd) symbols[left.next].previous = i;
        created.push_back(i);
      }
      for (const std::size_t i : created) {
        push(symbols[i].previous);
        push(i);
      }
    }
    for (std::size_t i = 0; i != kEnd; i = symbols[i].next) out.push_back(symbols[i].id);
  }

  std::array<std::uint32_t, 256> byte_ids_{};
  std::vector<std::string> spellings_;
  std::unordered_map<std::uint64_t, std::uint32_t> ranks_;
  mutable std::array<Shard, 16> shards_;
};

}  // namespace contrapunto::detail
