// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "contrapunto/towers/model_config.hpp"
#include "contrapunto/towers/write_model_config.hpp"

namespace contrapunto {

/// Returns what a program must know to prepare the inputs of a model of `config`, for files that
/// keep entries of text: `contrapunto.model` (its name), `contrapunto.image_size`,
/// `contrapunto.preprocess` (mean, standard deviation, interpolation and resize mode, as JSON with
/// OpenCLIP's keys) and, unless it is a model of images alone, `contrapunto.context_length`.
[[nodiscard]] inline std::map<std::string, std::string> input_metadata(const ModelConfig& config) {
  std::map<std::string, std::string> entries{
      {"contrapunto.model", config.name},
      {"contrapunto.image_size", std::to_string(config.image_size())},
      {"contrapunto.preprocess", detail::preprocess_json(config).dump()}};
  if (!config.image_only)
    entries["contrapunto.context_length"] = std::to_string(config.text.context_length);
  return entries;
}

}  // namespace contrapunto
