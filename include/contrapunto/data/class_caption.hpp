// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace contrapunto {

/// `pattern` with every {} replaced by `name`.
[[nodiscard]] inline std::string class_caption(std::string_view pattern, std::string_view name) {
  std::string caption;
  for (std::size_t at = 0;;) {
    const std::size_t brace = pattern.find("{}", at);
    caption += pattern.substr(at, brace - at);
    if (brace == std::string_view::npos) return caption;
    caption += name;
    at = brace + 2;
  }
}

}  // namespace contrapunto
