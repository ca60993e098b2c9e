// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace contrapunto {

/// Returns the single prompt that suits photographs of single objects.
[[nodiscard]] inline std::vector<std::string> plain_prompt() {
  return {"a photo of a {}."};
}

/// Returns the seven prompts that perform nearly as well on ImageNet as the full list of eighty.
/// Reference: Radford et al. 2021, https://arxiv.org/abs/2103.00020
[[nodiscard]] inline std::vector<std::string> seven_prompts() {
  return {"itap of a {}.",           "a bad photo of the {}.",
          "a origami {}.",           "a photo of the large {}.",
          "a {} in a video game.",   "art of the {}.",
          "a photo of the small {}."};
}

}  // namespace contrapunto
