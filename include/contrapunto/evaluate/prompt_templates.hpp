// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <string>
#include <vector>

namespace contrapunto {

/// The one prompt that suits photographs of single things.
[[nodiscard]] inline std::vector<std::string> plain_prompt() {
  return {"a photo of a {}."};
}

/// The seven prompts that do nearly as well on ImageNet as the full list of eighty.
/// Reference: Radford et al. 2021, https://arxiv.org/abs/2103.00020
[[nodiscard]] inline std::vector<std::string> seven_prompts() {
  return {"itap of a {}.",           "a bad photo of the {}.",
          "a origami {}.",           "a photo of the large {}.",
          "a {} in a video game.",   "art of the {}.",
          "a photo of the small {}."};
}

/// `prompt` with `class_name` in place of every "{}"; raises when it has none.
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
