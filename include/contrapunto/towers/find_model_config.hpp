// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "contrapunto/io/read_weights.hpp"
#include "contrapunto/towers/config_of_state.hpp"
#include "contrapunto/towers/model_config.hpp"
#include "contrapunto/towers/read_model_config.hpp"

namespace contrapunto {

/// Returns the configuration for the value of a setting: if `name` ends in ".json", that of a file
/// in OpenCLIP's format; if it is_weights_path(), that of the weights in a file, which is named
/// after it; otherwise that of a name that model_config() knows. Raises as
/// read_model_config(), config_of_state() and model_config() do.
[[nodiscard]] inline ModelConfig find_model_config(const std::string& name) {
  if (name.ends_with(".json")) return read_model_config(name);
  if (!is_weights_path(name)) return model_config(name);
  auto config = config_of_state(read_weights(name));
  config.name = std::filesystem::path(name).stem().string();
  return config;
}

}  // namespace contrapunto
