// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstdint>
#include <string>

#include "contrapunto/text/byte_tokenizer.hpp"
#include "contrapunto/text/tokenizer.hpp"
#ifdef CONTRAPUNTO_HAS_TEXT
#include "contrapunto/text/bpe_tokenizer.hpp"
#endif

namespace contrapunto {

/// Makes the tokenizer of a run: CLIP's BPE with the vocabulary file `vocabulary`, or a byte
/// tokenizer if the path is empty. Raises if the file cannot be read, and for any file in a program
/// that was built without the component `text`.
[[nodiscard]] inline Tokenizer make_tokenizer(const std::string& vocabulary,
                                              std::int64_t context_length) {
  if (vocabulary.empty()) return ByteTokenizer({.context_length = context_length});
#ifdef CONTRAPUNTO_HAS_TEXT
  return BpeTokenizer(vocabulary, {.context_length = context_length});
#else
  TORCH_CHECK(
      false, "make_tokenizer: the vocabulary '", vocabulary,
      "' needs the component `text`: use find_package(Contrapunto COMPONENTS text) and link "
      "contrapunto::text, or leave the vocabulary empty");
#endif
}

}  // namespace contrapunto
