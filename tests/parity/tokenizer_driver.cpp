// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
//
// tokenizer_driver VOCABULARY TEXTS IDS REPAIRED
// Reads texts, each a little-endian 32-bit length and its bytes; writes the ids of each as int32 in
// the same way, and its repaired form; prints how long encoding took, twice: cold and warm cache.
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "contrapunto/text/bpe_tokenizer.hpp"

namespace {

std::vector<std::string> read_texts(const char* path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<std::string> texts;
  std::uint32_t length = 0;
  while (file.read(reinterpret_cast<char*>(&length), sizeof length)) {
    texts.emplace_back(length, '\0');
    if (!file.read(texts.back().data(), length)) throw std::runtime_error("texts are cut short");
  }
  return texts;
}

void write(std::ofstream& file, const char* bytes, std::size_t size) {
  const auto length = static_cast<std::uint32_t>(size);
  file.write(reinterpret_cast<const char*>(&length), sizeof length);
  file.write(bytes, static_cast<std::streamsize>(size));
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 5) throw std::runtime_error("usage: tokenizer_driver VOCABULARY TEXTS IDS REPAIRED");
  const contrapunto::BpeTokenizer tokenizer(argv[1]);
  const auto texts = read_texts(argv[2]);

  std::vector<std::vector<std::int64_t>> ids(texts.size());
  for (const char* cache : {"cold", "warm"}) {
    const auto start = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < texts.size(); ++i) ids[i] = tokenizer.encode(texts[i]);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    std::cout << cache << ' ' << static_cast<double>(texts.size()) / seconds.count() << '\n';
  }

  std::ofstream ids_file(argv[3], std::ios::binary);
  std::ofstream repaired_file(argv[4], std::ios::binary);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::vector<std::int32_t> narrow(ids[i].begin(), ids[i].end());
    write(ids_file, reinterpret_cast<const char*>(narrow.data()), narrow.size() * sizeof narrow[0]);
    const std::string repaired = contrapunto::detail::encode_utf8(
        contrapunto::detail::repair_text(contrapunto::detail::decode_utf8(texts[i])));
    write(repaired_file, repaired.data(), repaired.size());
  }
  return ids_file.flush() && repaired_file.flush() ? EXIT_SUCCESS : EXIT_FAILURE;
} catch (const std::exception& error) {
  std::cerr << "tokenizer_driver: " << error.what() << '\n';
  return EXIT_FAILURE;
}
