// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifndef CONTRAPUNTO_HAS_TEXT
#error \
    "Contrapunto: writing a tokenizer needs the component `text`: use \
find_package(Contrapunto COMPONENTS text) and link contrapunto::text"
#endif

#include <c10/util/Exception.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "contrapunto/io/atomic_file.hpp"
#include "contrapunto/io/read_gzip.hpp"
#include "contrapunto/text/bpe_tokenizer.hpp"
#include "contrapunto/text/detail/bpe.hpp"

namespace contrapunto {

/// Writes CLIP's tokenizer for Hugging Face's transformers into `folder`: vocab.json, merges.txt
/// and tokenizer_config.json, which AutoTokenizer.from_pretrained() reads. `vocabulary` is the file
/// of BpeTokenizer. Returns the number of tokens. Raises as BpeTokenizer does, and if a file cannot
/// be written.
inline std::int64_t write_hugging_face_tokenizer(const std::filesystem::path& folder,
                                                 const std::filesystem::path& vocabulary,
                                                 std::int64_t context_length) {
  const BpeTokenizer tokenizer(vocabulary, {.context_length = context_length});  // Checks the file.
  const std::string text = read_gzip(vocabulary);
  std::vector<std::string> tokens(512);
  for (const auto& [id, symbol] : detail::byte_symbols()) {
    tokens[id] = symbol;
    tokens[id + 256] = symbol + "</w>";
  }
  std::string merges = "#version: 0.2\n";
  std::size_t at = text.find('\n') + 1;
  for (std::size_t i = 0; i < detail::kClipMerges; ++i) {
    const std::size_t end = text.find('\n', at);
    auto line = text.substr(at, end - at);
    at = end + 1;
    if (line.ends_with('\r')) line.pop_back();
    merges += line + "\n";
    tokens.push_back(line.erase(line.find(' '), 1));
  }
  const std::string start = "<|startoftext|>", end = "<|endoftext|>";  // OpenCLIP has other names.
  tokens.push_back(start);
  tokens.push_back(end);
  nlohmann::json ids = nlohmann::json::object();
  for (std::size_t id = 0; id < tokens.size(); ++id) ids[tokens[id]] = id;
  const nlohmann::json config{{"tokenizer_class", "CLIPTokenizer"},
                              {"bos_token", start},
                              {"eos_token", end},
                              {"pad_token", end},
                              {"unk_token", end},
                              {"do_lower_case", true},
                              {"model_max_length", context_length}};
  write_file_atomically(folder / "vocab.json", ids.dump() + "\n");
  write_file_atomically(folder / "merges.txt", merges);
  write_file_atomically(folder / "tokenizer_config.json", config.dump(2) + "\n");
  return tokenizer.vocab_size();
}

}  // namespace contrapunto
