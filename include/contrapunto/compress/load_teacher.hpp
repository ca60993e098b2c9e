// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>
#include <c10/util/Exception.h>

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/compress/teacher_inputs.hpp"
#include "contrapunto/compress/teacher_settings.hpp"
#include "contrapunto/core/distilled_embeddings.hpp"
#include "contrapunto/core/run_facts.hpp"
#include "contrapunto/io/read_weights.hpp"
#include "contrapunto/nn/activation.hpp"
#include "contrapunto/nn/skip_initialization.hpp"
#include "contrapunto/precision/cast_weights.hpp"
#include "contrapunto/precision/precision_policy.hpp"
#include "contrapunto/step/pair_step_model.hpp"
#include "contrapunto/step/with_teachers.hpp"
#include "contrapunto/text/make_tokenizer.hpp"
#include "contrapunto/towers/dual_encoder.hpp"
#include "contrapunto/towers/find_model_config.hpp"
#include "contrapunto/towers/forward_gflops.hpp"
#include "contrapunto/towers/image_normalizer.hpp"
#include "contrapunto/towers/make_dual_encoder.hpp"
#include "contrapunto/towers/model_config.hpp"
#include "contrapunto/towers/open_clip_state.hpp"

namespace contrapunto {

/// A pretrained model that teaches.
struct LoadedTeacher {
  ModelConfig config = {};
  DualEncoder model = nullptr;
  TeacherInputs inputs = {};
  Teacher step = {};    ///< For with_teachers().
  double weight = 1.0;  ///< Fraction of the loss that its similarities have.
  std::string weights = {};

  /// What a plan of the run shows.
  [[nodiscard]] TeacherFacts facts() const {
    TeacherFacts facts{.name = config.name,
                       .weight = weight,
                       .forward_gflops = forward_gflops(config).total(),
                       .weights = weights,
                       .quick_gelu = config.text.activation == Activation::kQuickGelu,
                       .precision = step.precision.name};
    if (inputs.image != TeacherInputs().image) facts.own_image_size = config.image_size();
    if (inputs.text != TeacherInputs().text) facts.own_text_context = config.text.context_length;
    for (const auto& parameter : model->parameters()) {
      facts.parameters += parameter.numel();
      facts.bytes += static_cast<double>(parameter.nbytes());
    }
    return facts;
  }
};

/// Loads OpenCLIP weights (see read_weights) into the model of `config`, frozen and on `device`.
/// The teacher reads the tensors `inputs` of a batch, with its own mean and standard deviation of
/// the pixels, and computes in `precision`, except that TF32 is left as it is in this process.
/// `weight` is shown in the plan. Raises if the weights do not fit, and names a vocabulary of
/// another size.
[[nodiscard]] inline LoadedTeacher load_teacher(const ModelConfig& config,
                                                const std::filesystem::path& weights,
                                                const TeacherInputs& inputs, double weight,
                                                const PrecisionPolicy& precision,
                                                at::Device device) {
  const auto empty_model = [&] {
    const SkipInitialization loads_all;
    return make_dual_encoder(config);
  };
  LoadedTeacher teacher{.config = config,
                        .model = empty_model(),
                        .inputs = inputs,
                        .weight = weight,
                        .weights = weights.string()};
  auto state = read_weights(weights);
  for (const auto* name : {"token_embedding.weight", "text.token_embedding.weight"})
    if (const auto found = state.find(name); found != state.end())
      TORCH_CHECK(found->second.size(0) == config.text.vocab_size, "load_teacher: the weights ",
                  weights, " have ", found->second.size(0),
                  " tokens, but the tokenizer of the teacher ", config.name, " has ",
                  config.text.vocab_size, "; set teacher-vocabulary to the vocabulary file that ",
                  "the teacher was trained with");
  load_open_clip_state(teacher.model, config, std::move(state));
  teacher.model->to(device);
  cast_weights_(*teacher.model, precision);
  freeze_teacher(*teacher.model);
  teacher.step = {.model = pair_step_model(teacher.model, device,
                                           {.x_input = inputs.image,
                                            .y_input = inputs.text,
                                            .prepare_x = image_normalizer(config),
                                            .trim_y = !config.text.reads_padding()}),
                  .precision = precision,
                  .device = device};
  return teacher;
}

/// Loads the teacher of `settings`, or returns nothing if there is none. It reads the tensors that
/// add_teacher_readings() adds for the same student, and computes in `precision` unless it has its
/// own.
[[nodiscard]] inline std::optional<LoadedTeacher> load_teacher(const TeacherSettings& settings,
                                                               const ModelConfig& student,
                                                               const PrecisionPolicy& precision,
                                                               at::Device device) {
  if (settings.teacher.empty()) return std::nullopt;
  auto config = find_model_config(settings.teacher_model);
  const bool own = !settings.teacher_vocabulary.empty();
  config.text.vocab_size =
      own ? make_tokenizer(settings.teacher_vocabulary, config.text.context_length).vocab_size
          : student.text.vocab_size;
  return load_teacher(
      config, settings.teacher, teacher_inputs(config, student, own), settings.distillation,
      settings.teacher_precision.empty() ? precision : precision_policy(settings.teacher_precision),
      device);
}

}  // namespace contrapunto
