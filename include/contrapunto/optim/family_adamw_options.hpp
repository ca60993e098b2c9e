// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cctype>
#include <string>

#include "contrapunto/optim/adamw.hpp"

namespace contrapunto {

/// OpenCLIP's settings for a model: beta2 0.98 and eps 1e-6 where the name holds "vit", in any
/// case; 0.999 and 1e-8 for all others.
[[nodiscard]] inline AdamWOptions family_adamw_options(std::string model_name) {
  std::transform(model_name.begin(), model_name.end(), model_name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return model_name.find("vit") != std::string::npos
             ? AdamWOptions{.beta1 = 0.9, .beta2 = 0.98, .eps = 1e-6}
             : AdamWOptions{.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
}

}  // namespace contrapunto
