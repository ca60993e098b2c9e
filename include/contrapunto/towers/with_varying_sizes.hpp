// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "contrapunto/schedule/phase_request.hpp"
#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

/// Returns `config` with an image size of 0 if one of `phases` changes it, and a context length of
/// 0 if one changes the text length; see parse_phase(). No other model reads such inputs, so that a
/// teacher is given inputs of its own size in all phases.
[[nodiscard]] inline ModelConfig with_varying_sizes(ModelConfig config,
                                                    const std::vector<std::string>& phases) {
  for (const auto& phase : phases) {
    const auto request = parse_phase(phase);
    if (request.image_size > 0) std::visit([](auto& image) { image.image_size = 0; }, config.image);
    if (request.text_length > 0) config.text.context_length = 0;
  }
  return config;
}

}  // namespace contrapunto
