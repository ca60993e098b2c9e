// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace contrapunto {

/// A further tensor of a batch with the same captions as another model reads them, such as a
/// teacher.
struct TextReading {
  std::string name = {};  ///< Tensor of the batch, int64 [B, L], padded with 0.
  /// Returns the token ids of a text, including the special tokens and at most as many as the
  /// context. Many threads call it at once.
  std::function<std::vector<std::int64_t>(std::string_view)> tokenize = {};
  std::int64_t pad_to = 0;  ///< L in tokens; 0: the longest text of the batch.
};

}  // namespace contrapunto
