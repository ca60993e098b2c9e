// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "contrapunto/towers/model_config.hpp"
#include "contrapunto/towers/read_model_config.hpp"

namespace contrapunto {

/// The configuration of a setting: a file in OpenCLIP's format where `name` ends in ".json",
/// otherwise a name that model_config() knows. Raises as those do.
[[nodiscard]] inline ModelConfig find_model_config(const std::string& name) {
  return name.ends_with(".json") ? read_model_config(name) : model_config(name);
}

}  // namespace contrapunto
