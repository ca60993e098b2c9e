// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "contrapunto/core/run_facts.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/distributed/samples_per_rank.hpp"
#include "contrapunto/schedule/run_length.hpp"
#include "contrapunto/schedule/run_phase.hpp"
#include "contrapunto/towers/model_config.hpp"
#include "contrapunto/towers/model_facts.hpp"

namespace contrapunto {

/// The sizes of the images and texts of `config`, for with_phases().
[[nodiscard]] inline RunPhase phase_of(const ModelConfig& config) {
  return {.image_size = config.image_size(),
          .text_length = config.image_only ? 0 : config.text.context_length};
}

/// Returns the facts of the phases of `run` for its plan, counted as in model_facts(). `config` is
/// the model with the sizes of the last phase. Raises if the model cannot be trained with the sizes
/// of a phase, and if the ranks do not divide a batch. A sample has `views` images.
[[nodiscard]] inline std::vector<PhaseFacts> phase_facts(const RunLength& run,
                                                         const ModelConfig& config,
                                                         const Ranks& ranks,
                                                         std::int64_t views = 1) {
  std::vector<PhaseFacts> all;
  const RunPhase own = phase_of(config);
  for (const RunPhase& phase : run.phases) {
    static_cast<void>(samples_per_rank(phase.batch_size, ranks));
    auto in_phase = config;
    PhaseFacts facts{.first_step = phase.first_step,
                     .steps = phase.steps,
                     .batch_size = phase.batch_size,
                     .lr_factor = phase.lr_factor};
    if (phase.image_size != own.image_size) {
      facts.image_size = phase.image_size;
      std::visit([&](auto& image) { image.image_size = phase.image_size; }, in_phase.image);
    }
    if (phase.text_length != own.text_length) {
      TORCH_CHECK(!config.image_only, "phase_facts: a phase has a text-length, but '", config.name,
                  "' is trained without texts; leave it out");
      TORCH_CHECK(!config.text.reads_padding(), "phase_facts: a phase has the text-length ",
                  phase.text_length, ", but the text tower of '", config.name,
                  "' reads the padding up to ", own.text_length, " tokens; leave it out");
      TORCH_CHECK(3 <= phase.text_length && phase.text_length < own.text_length,
                  "phase_facts: a phase has the text-length ", phase.text_length,
                  "; it must be from 3 to the ", own.text_length, " tokens of '", config.name, "'");
      facts.text_length = phase.text_length;
      in_phase.text.context_length = phase.text_length;
    }
    const auto model = sample_facts(in_phase);
    const auto of_views = [&](std::optional<double> of_one) {
      return of_one ? std::optional(*of_one * static_cast<double>(views)) : std::nullopt;
    };
    facts.forward_gflops = of_views(model.forward_gflops);
    facts.activation_elements = of_views(model.activation_elements);
    facts.checkpointed_elements = of_views(model.checkpointed_elements);
    all.push_back(facts);
  }
  return all;
}

}  // namespace contrapunto
