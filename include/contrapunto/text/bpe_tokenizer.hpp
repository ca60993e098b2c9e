// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "contrapunto/core/error_text.hpp"
#include "contrapunto/io/read_gzip.hpp"
#include "contrapunto/text/detail/bpe.hpp"
#include "contrapunto/text/detail/cleaning.hpp"
#include "contrapunto/text/detail/tokens.hpp"
#include "contrapunto/text/detail/words.hpp"

namespace contrapunto {

struct BpeTokenizerOptions {
  std::int64_t context_length = 77;  ///< Tokens per row, including the start and end tokens; at
                                     ///< least 2.
};

/// CLIP's byte-pair tokenizer. It gives the ids of OpenCLIP's SimpleTokenizer with its default
/// cleaning (mojibake repaired, HTML unescaped, white space collapsed, lower case). Copies share
/// one vocabulary and one word cache, and const calls may run in many threads.
/// Reference: Radford et al. 2021, https://arxiv.org/abs/2103.00020
class BpeTokenizer {
 public:
  /// Reads `bpe_simple_vocab_16e6.txt` or `.txt.gz`. Raises if the file is missing, too short or
  /// corrupt, and if `context_length` is below 2.
  explicit BpeTokenizer(const std::filesystem::path& vocabulary, BpeTokenizerOptions options = {})
      : o_(options) {
    detail::checked_context_length("BpeTokenizer", o_.context_length);
    try {
      model_ = std::make_shared<const detail::BpeModel>(read_gzip(vocabulary), detail::kClipMerges);
    } catch (const std::exception& error) {
      TORCH_CHECK(false, "BpeTokenizer: vocabulary file '", vocabulary.string(),
                  "': ", error_text(error),
                  ". Give the path of CLIP's bpe_simple_vocab_16e6.txt.gz, which is in the Python "
                  "package open_clip_torch and in https://github.com/openai/CLIP (folder clip)");
    }
  }

  /// Returns the tokens of `text`, without start and end tokens and not truncated. It accepts any
  /// bytes: bytes that are not UTF-8 count as U+FFFD, one for each maximal invalid part.
  [[nodiscard]] std::vector<std::int64_t> encode(std::string_view text) const {
    std::vector<std::int64_t> ids;
    const std::string clean = detail::clean_text(text);
    detail::for_each_word(clean, [&](std::string_view word) {
      if (word == detail::kStartOfText) {
        ids.push_back(start_token());
      } else if (word == detail::kEndOfText) {
        ids.push_back(end_token());
      } else {
        model_->encode_word(word, ids);
      }
    });
    return ids;
  }

  /// Returns the start token, the tokens and the end token, at most `context_length()` in total. A
  /// longer text is truncated before the end token.
  [[nodiscard]] std::vector<std::int64_t> encode_with_specials(std::string_view text) const {
    return detail::with_specials(*this, encode(text));
  }

  /// Returns int64 [texts.size(), context_length()], with rows as in encode_with_specials, padded
  /// with 0. The end token has the largest id, so pooling at the argmax of a row finds it.
  [[nodiscard]] at::Tensor operator()(const std::vector<std::string>& texts) const {
    return detail::token_matrix(*this, texts);
  }

  /// Returns the text of `ids`, with a space after each word, special tokens by name, and invalid
  /// UTF-8 as U+FFFD. Raises for an id outside the vocabulary.
  [[nodiscard]] std::string decode(const std::vector<std::int64_t>& ids) const {
    std::string bytes;
    for (const std::int64_t id : ids) {
      TORCH_CHECK(id >= 0 && id < vocab_size(), "BpeTokenizer: token ", id, " is not in [0, ",
                  vocab_size(), ")");
      if (id < start_token()) {
        bytes += model_->spelling(static_cast<std::size_t>(id));
      } else {
        bytes += id == start_token() ? detail::kStartOfText : detail::kEndOfText;
      }
    }
    return detail::encode_utf8(detail::decode_utf8(bytes));
  }

  /// Tokens per row, size of the vocabulary, and ids of the start and end tokens.
  [[nodiscard]] std::int64_t context_length() const { return o_.context_length; }
  [[nodiscard]] std::int64_t vocab_size() const { return model_->vocab_size(); }
  [[nodiscard]] std::int64_t start_token() const { return vocab_size() - 2; }
  [[nodiscard]] std::int64_t end_token() const { return vocab_size() - 1; }

 private:
  BpeTokenizerOptions o_;
  std::shared_ptr<const detail::BpeModel> model_;
};

}  // namespace contrapunto
