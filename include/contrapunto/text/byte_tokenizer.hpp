// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "contrapunto/text/detail/tokens.hpp"

namespace contrapunto {

struct ByteTokenizerOptions {
  std::int64_t context_length = 77;  ///< Tokens per row, including the start and end tokens; at
                                     ///< least 2.
  bool lower_case = false;           ///< Fold A-Z to a-z; other bytes are unchanged.
};

/// Uses the bytes of the text as tokens, with a start token (256) and an end token (257). It needs
/// no vocabulary file. The end token has the largest id, so pooling at the argmax of a row finds
/// it. Raises if `context_length` is below 2.
class ByteTokenizer {
 public:
  explicit ByteTokenizer(ByteTokenizerOptions options = {}) : o_(options) {
    detail::checked_context_length("ByteTokenizer", o_.context_length);
  }

  /// Returns one token for each byte of `text`, without special tokens and not truncated.
  [[nodiscard]] std::vector<std::int64_t> encode(std::string_view text) const {
    std::vector<std::int64_t> ids;
    ids.reserve(text.size());
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      ids.push_back(o_.lower_case && byte >= 'A' && byte <= 'Z' ? byte + 0x20 : byte);
    }
    return ids;
  }

  /// Returns the start token, the bytes and the end token, at most `context_length()` in total. A
  /// longer text is truncated before the end token.
  [[nodiscard]] std::vector<std::int64_t> encode_with_specials(std::string_view text) const {
    const auto room = static_cast<std::size_t>(o_.context_length - 2);
    return detail::with_specials(*this, encode(text.substr(0, room)));
  }

  /// Returns int64 [texts.size(), context_length()], with rows as in encode_with_specials, padded
  /// with 0.
  [[nodiscard]] at::Tensor operator()(const std::vector<std::string>& texts) const {
    return detail::token_matrix(*this, texts);
  }

  /// Returns the bytes of `ids` without special tokens. Raises for an id outside the vocabulary.
  [[nodiscard]] std::string decode(const std::vector<std::int64_t>& ids) const {
    std::string text;
    for (const std::int64_t id : ids) {
      TORCH_CHECK(id >= 0 && id < vocab_size(), "ByteTokenizer: token ", id, " is not in [0, ",
                  vocab_size(), ")");
      if (id < start_token()) text += static_cast<char>(static_cast<unsigned char>(id));
    }
    return text;
  }

  /// Tokens per row, size of the vocabulary, and ids of the start and end tokens.
  [[nodiscard]] std::int64_t context_length() const { return o_.context_length; }
  [[nodiscard]] std::int64_t vocab_size() const { return 258; }
  [[nodiscard]] std::int64_t start_token() const { return 256; }
  [[nodiscard]] std::int64_t end_token() const { return 257; }

 private:
  ByteTokenizerOptions o_;
};

}  // namespace contrapunto
