// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace contrapunto {

/// Which tokens of a sequence a token attends to, and how the attention is computed.
enum class AttentionPattern {
  kGlobal,  ///< Softmax over all tokens. Its work grows with the square of their number.
  kWindow,  ///< Softmax over the tokens of the same square window. Prefix tokens (class token,
            ///< registers) attend to all tokens, and all tokens attend to them.
  kLinear,  ///< Linear attention over all tokens with the feature map elu(x) + 1.
  kFocused  ///< Focused linear attention over all tokens, with a depth-wise convolution of the
            ///< values.
};

/// The attention of one layer. Windows and linear attention need memory and time that are linear in
/// the number of tokens.
struct AttentionKind {
  AttentionPattern pattern = AttentionPattern::kGlobal;
  std::int64_t window = 0;  ///< Side of a window in tokens; only for kWindow.
  bool shifted = false;     ///< Windows start half a window later, and wrap around the plane.

  friend bool operator==(const AttentionKind&, const AttentionKind&) = default;
};

/// Reads the attention of the layers from a list such as "window7, shifted7, window7, global". Its
/// entries are `global`, `windowN`, `shiftedN`, `linear` and `focused`, where N is the side of a
/// window in tokens. A transformer with more layers repeats the list. The empty text is the empty
/// list, which means global attention in all layers. Raises for another entry and for a window of
/// no tokens.
[[nodiscard]] inline std::vector<AttentionKind> parse_attention_plan(std::string_view text) {
  const auto trimmed = [](std::string_view word) {
    const auto first = word.find_first_not_of(' ');
    if (first == std::string_view::npos) return std::string_view();
    return word.substr(first, word.find_last_not_of(' ') - first + 1);
  };
  const auto windowed = [](std::string_view word, std::string_view name, AttentionKind& kind) {
    if (!word.starts_with(name)) return false;
    const auto digits = word.substr(name.size());
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), kind.window);
    return error == std::errc() && end == digits.data() + digits.size() && kind.window > 0;
  };
  std::vector<AttentionKind> plan;
  if (trimmed(text).empty()) return plan;
  while (true) {
    const auto comma = text.find(',');
    const auto word = trimmed(text.substr(0, comma));
    AttentionKind kind;
    if (word == "global") {
      kind.pattern = AttentionPattern::kGlobal;
    } else if (word == "linear") {
      kind.pattern = AttentionPattern::kLinear;
    } else if (word == "focused") {
      kind.pattern = AttentionPattern::kFocused;
    } else {
      kind.pattern = AttentionPattern::kWindow;
      kind.shifted = word.starts_with("shifted");
      TORCH_CHECK(windowed(word, kind.shifted ? "shifted" : "window", kind),
                  "parse_attention_plan: '", word,
                  "' is not an attention; the entries are global, windowN, shiftedN (N tokens on a "
                  "side, such as window7), linear and focused");
    }
    plan.push_back(kind);
    if (comma == std::string_view::npos) return plan;
    text.remove_prefix(comma + 1);
  }
}

/// Returns the text from which parse_attention_plan reads `plan`.
[[nodiscard]] inline std::string attention_plan_text(const std::vector<AttentionKind>& plan) {
  std::string text;
  for (const auto& kind : plan) {
    text += text.empty() ? "" : ", ";
    switch (kind.pattern) {
      case AttentionPattern::kGlobal:
        text += "global";
        break;
      case AttentionPattern::kWindow:
        text += (kind.shifted ? "shifted" : "window") + std::to_string(kind.window);
        break;
      case AttentionPattern::kLinear:
        text += "linear";
        break;
      case AttentionPattern::kFocused:
        text += "focused";
        break;
    }
  }
  return text;
}

}  // namespace contrapunto
