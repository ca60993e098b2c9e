// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/text/bpe_tokenizer.hpp"

#include <zlib.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "support/catch.hpp"

namespace {

using contrapunto::BpeTokenizer;
using Ids = std::vector<std::int64_t>;

/// The tokenizer of CLIP's vocabulary, or nothing (and a warning) where the file is not given.
const BpeTokenizer* clip_tokenizer() {
  const char* path = std::getenv("CONTRAPUNTO_BPE_VOCAB");
  if (path == nullptr || *path == '\0') {
    WARN("CONTRAPUNTO_BPE_VOCAB is not set: skipping what needs CLIP's vocabulary");
    return nullptr;
  }
  static const BpeTokenizer tokenizer(path);
  return &tokenizer;
}

std::string complaint(const std::string& path) {
  try {
    BpeTokenizer tokenizer(path);
  } catch (const c10::Error& error) {
    return error.what();
  }
  return "";
}

struct TemporaryFile {
  std::string path = std::filesystem::temp_directory_path() / "contrapunto-vocabulary-test.txt.gz";
  ~TemporaryFile() { std::filesystem::remove(path); }
  void write(const std::string& bytes) const { std::ofstream(path, std::ios::binary) << bytes; }
};

}  // namespace

TEST_CASE("Tokens are OpenCLIP's golden ids", "[tokenizer][cpu]") {
  const auto* tokenizer = clip_tokenizer();
  if (tokenizer == nullptr) return;
  const std::pair<std::string, Ids> golden[] = {
      {"a diagram", {320, 22697}},
      {"a dog", {320, 1929}},
      {"a cat", {320, 2368}},
      {"a photo of a cat", {320, 1125, 539, 320, 2368}},
      {"Dummy caption", {34246, 11327}},
      {"hello world!", {3306, 1002, 256}},
      {"It's John's 2nd car, isn't it?",
       {585, 568, 1742, 568, 273, 1764, 1615, 267, 2923, 713, 585, 286}},
      {"naïve café", {1097, 35689, 563, 15304}},
      {"12345", {272, 273, 274, 275, 276}},
      {"😀", {7334}},
      {"猫", {163, 234, 360}},
      {"supercalifragilisticexpialidocious",
       {1642, 2857, 13093, 2076, 5868, 26850, 835, 639, 38466}},
      {"&amp;lt;b&amp;gt;", {283, 321, 285}},
      {"", {}},
      {"<start_of_text>a cat<end_of_text>", {49406, 320, 2368, 49407}},
  };
  for (const auto& [text, ids] : golden) {
    INFO(text);
    CHECK(tokenizer->encode(text) == ids);
  }
  CHECK(tokenizer->vocab_size() == 49408);
  CHECK(tokenizer->encode_with_specials("") == Ids{49406, 49407});
}

TEST_CASE("Rows are padded with 0, and cut so that the end token stays", "[tokenizer][cpu]") {
  const auto* tokenizer = clip_tokenizer();
  if (tokenizer == nullptr) return;
  std::string dogs;
  for (int i = 0; i < 100; ++i) dogs += "dog ";
  const at::Tensor rows = (*tokenizer)({"a cat", dogs});
  CHECK(rows.sizes() == at::IntArrayRef{2, 77});
  CHECK(rows.scalar_type() == at::kLong);
  CHECK(
      torch::equal(rows[0].slice(0, 0, 5), torch::tensor({49406, 320, 2368, 49407, 0}, at::kLong)));
  CHECK(rows[0].sum().item<std::int64_t>() == 49406 + 320 + 2368 + 49407);
  CHECK((rows[1].slice(0, 1, 76) == 1929).all().item<bool>());
  CHECK(rows[1][76].item<std::int64_t>() == 49407);
  const BpeTokenizer narrow(std::getenv("CONTRAPUNTO_BPE_VOCAB"), {.context_length = 3});
  CHECK(narrow.encode_with_specials("a cat") == Ids{49406, 320, 49407});
  CHECK((*tokenizer)({}).sizes() == at::IntArrayRef{0, 77});
}

TEST_CASE("Decoding returns the cleaned words", "[tokenizer][cpu]") {
  const auto* tokenizer = clip_tokenizer();
  if (tokenizer == nullptr) return;
  CHECK(tokenizer->decode(tokenizer->encode("A photo of a NAÏVE 猫!")) ==
        "a photo of a naïve 猫 ! ");
  CHECK(tokenizer->decode({49406, 320, 49407}) == "<start_of_text>a <end_of_text>");
  CHECK(tokenizer->decode({163}) == "\xEF\xBF\xBD");  // a lone byte of 猫
  CHECK_THROWS_AS(tokenizer->decode({49408}), c10::Error);
}

TEST_CASE("Threads that share a tokenizer get the same tokens as one thread", "[tokenizer][cpu]") {
  const auto* shared = clip_tokenizer();
  if (shared == nullptr) return;
  const BpeTokenizer fresh(std::getenv("CONTRAPUNTO_BPE_VOCAB"));  // its cache is cold
  std::vector<std::string> texts;
  for (int i = 0; i < 400; ++i)
    texts.push_back("word" + std::to_string(i * i) + " &eacute; déjà vu â€™ n°" +
                    std::to_string(i % 7) +
                    std::string(static_cast<std::size_t>(i % 30), static_cast<char>('a' + i % 26)));
  std::vector<std::vector<Ids>> results(4);
  std::vector<std::thread> threads;
  for (auto& result : results)
    threads.emplace_back([&] {
      for (const auto& text : texts) result.push_back(fresh.encode(text));
    });
  for (auto& thread : threads) thread.join();
  std::vector<Ids> expected;
  for (const auto& text : texts) expected.push_back(shared->encode(text));
  for (const auto& result : results) CHECK(result == expected);
}

TEST_CASE("An unusable vocabulary file is named, with the remedy", "[tokenizer][cpu]") {
  const TemporaryFile file;
  const auto complains = [&](const std::string& reason) {
    const std::string message = complaint(file.path);
    INFO(message);
    CHECK(message.find(file.path) != std::string::npos);
    CHECK(message.find(reason) != std::string::npos);
    CHECK(message.find("bpe_simple_vocab_16e6.txt.gz") != std::string::npos);
  };
  complains("no such file");
  file.write("#version: 0.2\ni n\nt h\n");
  complains("ends after 2 of 48894 merges");
  file.write("#version: 0.2\nnot-a-pair\n");
  complains("line 2 ");

  const gzFile zipped = gzopen(file.path.c_str(), "wb");
  const std::string text(100'000, 'x');
  gzwrite(zipped, text.data(), static_cast<unsigned>(text.size()));
  gzclose(zipped);
  std::filesystem::resize_file(file.path, std::filesystem::file_size(file.path) - 6);
  complains("truncated or corrupt");
  CHECK_THROWS_AS(BpeTokenizer(file.path, {.context_length = 1}), c10::Error);
}
