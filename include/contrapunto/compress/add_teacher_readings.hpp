// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "contrapunto/compress/teacher_inputs.hpp"
#include "contrapunto/compress/teacher_settings.hpp"
#include "contrapunto/data/loader_options.hpp"
#include "contrapunto/text/make_tokenizer.hpp"
#include "contrapunto/text/tokenizer.hpp"
#include "contrapunto/towers/find_model_config.hpp"
#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

/// Makes a loader supply those tensors of `inputs` that are not the student's, for a teacher that
/// was built from `teacher`: images of its size, and texts in the tokens of `tokenizer`, padded to
/// the context length if its text tower reads the padding.
inline void add_teacher_readings(LoaderOptions& loading, const TeacherInputs& inputs,
                                 const ModelConfig& teacher, const Tokenizer& tokenizer) {
  if (inputs.image != TeacherInputs().image)
    loading.image_readings.push_back(
        {inputs.image, teacher.image_size(), teacher.interpolation, teacher.resize_mode});
  if (inputs.text != TeacherInputs().text)
    loading.text_readings.push_back(
        {inputs.text, tokenizer.encode,
         teacher.text.reads_padding() ? teacher.text.context_length : 0});
}

/// The same for the teacher of a trainer, if there is one, whose student has the vocabulary file
/// `vocabulary`; see make_tokenizer(). It also makes the loader read the teacher stores of
/// `settings`. Call load_teachers() with the same settings and student.
inline void add_teacher_readings(LoaderOptions& loading, const TeacherSettings& settings,
                                 const ModelConfig& student, const std::string& vocabulary) {
  loading.teacher_stores = settings.teacher_stores;
  if (settings.teacher.empty()) return;
  const auto teacher = find_model_config(settings.teacher_model);
  const bool own = !settings.teacher_vocabulary.empty();
  add_teacher_readings(
      loading, teacher_inputs(teacher, student, own), teacher,
      make_tokenizer(own ? settings.teacher_vocabulary : vocabulary, teacher.text.context_length));
}

}  // namespace contrapunto
