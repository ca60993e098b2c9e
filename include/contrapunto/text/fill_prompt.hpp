// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <string>

namespace contrapunto {

/// Returns `prompt` with every "{}" replaced by `class_name`. Raises if there is no "{}".
[[nodiscard]] inline std::string fill_prompt(const std::string& prompt,
                                             const std::string& class_name) {
  TORCH_CHECK(prompt.find("{}") != std::string::npos, "the prompt template '", prompt,
              "' has no {} for the class name");
  std::string text;
  std::size_t begin = 0;
  for (auto at = prompt.find("{}"); at != std::string::npos; at = prompt.find("{}", begin)) {
    text += prompt.substr(begin, at - begin) + class_name;
    begin = at + 2;
  }
  return text + prompt.substr(begin);
}

}  // namespace contrapunto
