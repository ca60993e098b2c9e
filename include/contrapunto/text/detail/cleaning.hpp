// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "contrapunto/text/detail/html_unescape.hpp"
#include "contrapunto/text/detail/repair.hpp"
#include "contrapunto/text/detail/unicode_text.hpp"

/// Cleans a text before CLIP's tokenizer splits it, in plain C++ without Torch.
namespace contrapunto::detail {

/// Returns whether `bytes` are printable ASCII and white space without `&`. Repair and unescaping
/// do not change such text.
inline bool is_plain_ascii(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](char c) {
    return (c >= ' ' && c <= '~' && c != '&') || c == '\t' || c == '\n' || c == '\f' || c == '\r';
  });
}

/// Applies OpenCLIP's "lower" cleaning to any bytes and returns UTF-8: mojibake is repaired, HTML
/// is unescaped twice, white space is collapsed, and letters become lower case.
inline std::string clean_text(std::string_view bytes) {
  if (is_plain_ascii(bytes)) {
    std::string out;
    out.reserve(bytes.size());
    for (const char c : bytes) {
      if (c > ' ') {
        out += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 0x20) : c;
      } else if (!out.empty() && out.back() != ' ') {
        out += ' ';
      }
    }
    if (!out.empty() && out.back() == ' ') out.pop_back();
    return out;
  }
  const std::u32string repaired = repair_text(decode_utf8(bytes));
  return encode_utf8(to_lower(collapse_white_space(unescape_html(unescape_html(repaired)))));
}

}  // namespace contrapunto::detail
