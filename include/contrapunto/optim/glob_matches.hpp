// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace contrapunto {

/// Returns whether `pattern` matches all of `text`. `*` stands for any number of characters,
/// including none and including dots, and `?` stands for one character.
[[nodiscard]] inline bool glob_matches(std::string_view pattern, std::string_view text) {
  std::size_t p = 0, t = 0, star = std::string_view::npos, after_star = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      after_star = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p, ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;  // Let the last star match one more character.
      t = ++after_star;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

namespace detail {

/// Raises if `pattern` matches none of `names`, so that a typo does not silently have no effect.
inline void check_glob_matches(std::string_view caller, std::string_view pattern,
                               const std::vector<std::string>& names) {
  const auto matches = [&](const std::string& name) { return glob_matches(pattern, name); };
  TORCH_CHECK(std::any_of(names.begin(), names.end(), matches), caller, ": the pattern \"", pattern,
              "\" matches none of ", names.size(), " parameters, such as ",
              names.empty() ? "" : names.front(), "; * stands for any characters");
}

}  // namespace detail
}  // namespace contrapunto
