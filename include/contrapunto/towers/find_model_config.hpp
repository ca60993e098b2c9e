// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "contrapunto/io/read_file.hpp"
#include "contrapunto/io/read_weights.hpp"
#include "contrapunto/towers/config_of_state.hpp"
#include "contrapunto/towers/hugging_face_config.hpp"
#include "contrapunto/towers/model_config.hpp"
#include "contrapunto/towers/read_model_config.hpp"

namespace contrapunto {

/// Returns the configuration for the value of a setting: if `name` is a folder of OpenCLIP, such
/// as that of a run, that of its open_clip_config.json; if it is a folder of Hugging Face's
/// transformers, that of its config.json and preprocessor_config.json; if it ends in ".json", that
/// of a file in OpenCLIP's format; if it is_weights_path(), that of the weights in a file, which is
/// named after it; otherwise that of a name that model_config() knows. Raises as
/// config_of_hugging_face(), read_model_config(), config_of_state() and model_config() do.
[[nodiscard]] inline ModelConfig find_model_config(const std::string& name) {
  const std::filesystem::path folder(name);
  if (std::filesystem::exists(folder / "open_clip_config.json"))
    return read_model_config(folder / "open_clip_config.json");
  if (std::filesystem::exists(folder / "config.json")) {
    const auto json = [&](const char* file) {
      return std::filesystem::exists(folder / file)
                 ? nlohmann::json::parse(read_file(folder / file), nullptr, /*exceptions=*/false)
                 : nlohmann::json();
    };
    return config_of_hugging_face(json("config.json"), json("preprocessor_config.json"), name);
  }
  TORCH_CHECK(!std::filesystem::is_directory(folder), "find_model_config: the folder '", name,
              "' has neither config.json (transformers) nor open_clip_config.json (OpenCLIP)");
  if (name.ends_with(".json")) return read_model_config(name);
  if (!is_weights_path(name)) return model_config(name);
  auto config = config_of_state(read_weights(name));
  config.name = std::filesystem::path(name).stem().string();
  return config;
}

}  // namespace contrapunto
