// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace contrapunto {

/// A type-erased tokenizer with the operations that a loader and an evaluation need. It converts
/// from a value with `encode_with_specials`, a call operator for many texts, `context_length` and
/// `vocab_size`.
struct Tokenizer {
  Tokenizer() = default;
  template <class T>
  Tokenizer(T tokenizer)  // NOLINT: converting on purpose
      : encode([tokenizer](std::string_view text) { return tokenizer.encode_with_specials(text); }),
        encode_all([tokenizer](const std::vector<std::string>& texts) { return tokenizer(texts); }),
        context_length(tokenizer.context_length()),
        vocab_size(tokenizer.vocab_size()) {}

  /// Encodes one text with start and end tokens, at most `context_length` ids. May run in many
  /// threads.
  std::function<std::vector<std::int64_t>(std::string_view)> encode;
  /// Encodes many texts: int64 [texts, context_length], padded with 0.
  std::function<at::Tensor(const std::vector<std::string>&)> encode_all;
  std::int64_t context_length = 0;
  std::int64_t vocab_size = 0;
};

}  // namespace contrapunto
