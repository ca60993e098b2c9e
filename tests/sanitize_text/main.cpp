// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
//
// Runs random bytes, cut texts and mutated texts through cleaning, splitting and merging, under the
// sanitizers. For any input, words must be non-empty valid UTF-8, and their tokens must spell them.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "contrapunto/text/detail/bpe.hpp"
#include "contrapunto/text/detail/cleaning.hpp"
#include "contrapunto/text/detail/words.hpp"

namespace {

using namespace contrapunto::detail;

const std::vector<std::string> kSeeds{
    "a photo of a cat, isn't it? <start_of_text> 12345",
    "voilÃ le travail â€œ like this â€� Ã la mode",
    "ÐŸÑ€Ð¸Ð²ÐµÑ‚ Ð¼Ð¸Ñ€ &amp;lt;b&amp;gt; &EACUTE; &#x1F600; &#0; &notit;",
    "ＬＯＵＤ　ﾉｲｽﾞ ﬂuﬃeﬆ ΟΔΥΣΣΕΥΣ İ \x1B[36;44mblue\x1B[0m",
    "\xED\xA0\xBD\xED\xB8\x80 \xC3\xAD\xC2\xA0\xC2\xBD\xC3\xAD\xC2\xB8\xC2\x80 \xC3\x80\n",
    "한국어 각 e\xCC\x81\xCC\xA3 👨‍👩‍👧‍👦 स्ते สวัสดี 猫 "
    "\xC2\x80\xC2\x9F\r\n\xE2\x80\xA8",
    "√± ‚Äô вЂ™ ГўВЂВ™ a β€™ ā€ Ø£Ù† ╬ô╬▒",
};

void require(bool condition, const char* what, const std::string& text) {
  if (condition) return;
  std::fprintf(stderr, "%s fails for the bytes:", what);
  for (const char c : text) std::fprintf(stderr, " %02x", static_cast<unsigned char>(c));
  std::fputc('\n', stderr);
  std::exit(EXIT_FAILURE);
}

void check(const BpeModel& model, const std::string& text) {
  const std::string clean = clean_text(text);
  require(decode_strict_utf8(clean).has_value(), "valid UTF-8 after cleaning", text);
  for_each_word(clean, [&](std::string_view word) {
    require(!word.empty() && decode_strict_utf8(word).has_value(), "whole words", text);
    std::vector<std::int64_t> ids;
    model.encode_word(word, ids);
    std::string spelled;
    for (const auto id : ids) spelled += model.spelling(static_cast<std::size_t>(id));
    require(spelled == std::string(word) + ' ', "spelling", text);
  });
}

}  // namespace

int main() {
  std::mt19937 random(20260101);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  const auto byte = [&] { return static_cast<char>(static_cast<unsigned char>(random() & 0xFF)); };
  const BpeModel model("head\na b\nab c\nc a\nt h\nth e</w>\nÃ ¢\nâ Ģ\n", 7);

  std::size_t texts = 0;
  const auto start = std::chrono::steady_clock::now();
  for (const std::string& seed : kSeeds)  // every truncation
    for (std::size_t length = 0; length <= seed.size(); ++length, ++texts)
      check(model, seed.substr(0, length));
  for (int n = 0; n < 8000; ++n, ++texts) {  // random bytes, often high ones
    std::string text(below(40), '\0');
    for (char& c : text) c = n % 2 == 0 ? byte() : static_cast<char>(byte() | '\x80');
    check(model, text);
  }
  for (int n = 0; n < 16000; ++n, ++texts) {  // mutated texts, some of them spliced or misread
    std::string text = kSeeds[below(kSeeds.size())];
    if (below(3) == 0) text = text.substr(below(text.size())) + kSeeds[below(kSeeds.size())];
    if (below(3) == 0) {
      std::u32string wrong;
      const auto& codec = single_byte_codecs()[below(single_byte_codecs().size())];
      for (const char c : text) wrong += codec.decode(static_cast<unsigned char>(c));
      text = encode_utf8(wrong);
    }
    for (std::size_t changes = below(6); changes > 0; --changes) {
      const std::size_t at = below(text.size() + 1);
      if (below(2) == 0) {
        text.insert(at, 1, byte());
      } else {
        text.erase(at, 1 + below(3));
      }
    }
    check(model, text);
  }
  check(model, std::string(200'000, 'a'));
  check(model, std::string(100'000, '&'));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::printf("%zu texts in %.1f s\n", texts + 2, seconds.count());
  return EXIT_SUCCESS;
}
