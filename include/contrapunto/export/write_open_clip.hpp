// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "contrapunto/core/state.hpp"
#include "contrapunto/io/atomic_directory.hpp"
#include "contrapunto/io/safetensors.hpp"
#include "contrapunto/towers/model_config.hpp"
#include "contrapunto/towers/write_model_config.hpp"

namespace contrapunto {

/// Writes a folder that open_clip.create_model_and_transforms("local-dir:FOLDER") reads:
/// open_clip_config.json and open_clip_model.safetensors. `state` is an open_clip_state() of a
/// model of `config`. The folder appears as a whole, and replaces an older one. Raises as
/// write_model_config() does, and if the folder cannot be written.
inline void write_open_clip(const std::filesystem::path& folder, const TensorMap& state,
                            const ModelConfig& config) {
  AtomicDirectory files(folder);
  write_model_config(files.path() / "open_clip_config.json", config);
  write_safetensors(files.path() / "open_clip_model.safetensors", state, {{"format", "pt"}});
  files.commit();
}

}  // namespace contrapunto
