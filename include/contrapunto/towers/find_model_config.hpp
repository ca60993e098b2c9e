// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "contrapunto/towers/model_config.hpp"
#include "contrapunto/towers/read_model_config.hpp"

namespace contrapunto {

/// Returns the configuration for the value of a setting: if `name` ends in ".json", that of a file
/// in OpenCLIP's format, otherwise that of a name that model_config() knows. Raises as
/// read_model_config() and model_config() do.
[[nodiscard]] inline ModelConfig find_model_config(const std::string& name) {
  return name.ends_with(".json") ? read_model_config(name) : model_config(name);
}

}  // namespace contrapunto
