// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/compress/teacher_settings.hpp"
#include "contrapunto/core/distilled_embeddings.hpp"
#include "contrapunto/core/run_facts.hpp"
#include "contrapunto/io/safetensors.hpp"
#include "contrapunto/nn/activation.hpp"
#include "contrapunto/precision/apply_precision.hpp"
#include "contrapunto/precision/precision_policy.hpp"
#include "contrapunto/step/pair_step_model.hpp"
#include "contrapunto/step/with_teachers.hpp"
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
  Teacher step = {};    ///< For with_teachers().
  double weight = 1.0;  ///< Fraction of the loss that its similarities have.
  std::string weights = {};

  /// What a plan of the run shows.
  [[nodiscard]] TeacherFacts facts() const {
    TeacherFacts facts{.name = config.name,
                       .weight = weight,
                       .forward_gflops = forward_gflops(config).total(),
                       .weights = weights,
                       .quick_gelu = config.text.activation == Activation::kQuickGelu};
    for (const auto& parameter : model->parameters()) {
      facts.parameters += parameter.numel();
      facts.bytes += static_cast<double>(parameter.nbytes());
    }
    return facts;
  }
};

/// Loads OpenCLIP weights (safetensors) into the model of `config`, frozen and on `device`. The
/// teacher reads the same batches as the model of `student`, with its own mean and standard
/// deviation of the pixels, and computes in `precision`. `weight` is shown in the plan. The
/// vocabulary is that of the student. Raises if the weights do not fit, and if the teacher cannot
/// read the student's batches: another image size or context length, or padding that only the
/// teacher reads.
[[nodiscard]] inline LoadedTeacher load_teacher(ModelConfig config,
                                                const std::filesystem::path& weights,
                                                const ModelConfig& student, double weight,
                                                const PrecisionPolicy& precision,
                                                at::Device device) {
  const auto same = [&](const char* what, std::int64_t theirs, std::int64_t ours) {
    TORCH_CHECK(theirs == ours, "load_teacher: the teacher ", config.name, " has ", what, " ",
                theirs, " and the student ", student.name, " ", ours,
                "; both must be able to read the same batch");
  };
  same("the image size", config.image_size(), student.image_size());
  same("the context length", config.text.context_length, student.text.context_length);
  config.text.vocab_size = student.text.vocab_size;
  TORCH_CHECK(!config.text.reads_padding() || student.text.reads_padding(),
              "load_teacher: the text tower of the teacher ", config.name,
              " reads the padding behind a text, but the texts of the student ", student.name,
              " are not padded; choose another teacher");
  LoadedTeacher teacher{.config = config,
                        .model = make_dual_encoder(config),
                        .weight = weight,
                        .weights = weights.string()};
  load_open_clip_state(teacher.model, config, read_safetensors(weights));
  teacher.model->to(device);
  apply_precision_(*teacher.model, precision);
  freeze_teacher(*teacher.model);
  teacher.step = {.model = pair_step_model(teacher.model, device,
                                           {.prepare_x = image_normalizer(config),
                                            .trim_y = !config.text.reads_padding()}),
                  .precision = precision,
                  .device = device};
  return teacher;
}

/// Loads the teacher of `settings`, or returns nothing if there is none.
[[nodiscard]] inline std::optional<LoadedTeacher> load_teacher(const TeacherSettings& settings,
                                                               const ModelConfig& student,
                                                               const PrecisionPolicy& precision,
                                                               at::Device device) {
  if (settings.teacher.empty()) return std::nullopt;
  return load_teacher(find_model_config(settings.teacher_model), settings.teacher, student,
                      settings.distillation, precision, device);
}

/// Adds `teacher`, if there is one, to the step model of `student`; see with_teachers().
[[nodiscard]] inline StepModel<DistilledEmbeddings> with_teacher(
    StepModel<> student, const std::optional<LoadedTeacher>& teacher) {
  std::vector<Teacher> teachers;
  if (teacher) teachers.push_back(teacher->step);
  return with_teachers(std::move(student), std::move(teachers));
}

}  // namespace contrapunto
