// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace contrapunto::detail {

inline std::int64_t checked_context_length(const char* tokenizer, std::int64_t context_length) {
  TORCH_CHECK(context_length >= 2, tokenizer, ": context_length (", context_length,
              ") must be at least 2, for the start and end tokens");
  return context_length;
}

/// Returns `tokens` between the start and end tokens, at most `context_length` in total. A longer
/// text is truncated, and its last token is the end token.
template <class Tokenizer>
std::vector<std::int64_t> with_specials(const Tokenizer& tokenizer,
                                        const std::vector<std::int64_t>& tokens) {
  const auto room = static_cast<std::size_t>(tokenizer.context_length() - 2);
  const auto kept = static_cast<std::ptrdiff_t>(std::min(tokens.size(), room));
  std::vector<std::int64_t> ids;
  ids.reserve(static_cast<std::size_t>(kept) + 2);
  ids.push_back(tokenizer.start_token());
  ids.insert(ids.end(), tokens.begin(), tokens.begin() + kept);
  ids.push_back(tokenizer.end_token());
  return ids;
}

/// Returns int64 [texts, context_length], with rows of encode_with_specials padded with 0.
template <class Tokenizer>
at::Tensor token_matrix(const Tokenizer& tokenizer, const std::vector<std::string>& texts) {
  const std::int64_t context = tokenizer.context_length();
  at::Tensor matrix = at::zeros({static_cast<std::int64_t>(texts.size()), context}, at::kLong);
  auto* row = matrix.mutable_data_ptr<std::int64_t>();
  for (const std::string& text : texts) {
    const auto ids = tokenizer.encode_with_specials(text);
    std::copy(ids.begin(), ids.end(), row);
    row += context;
  }
  return matrix;
}

}  // namespace contrapunto::detail
