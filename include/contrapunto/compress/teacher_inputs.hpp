// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

/// The tensors of a batch that a teacher reads: those of the student where both models read a
/// sample in the same way, and otherwise further readings of the loader; see
/// add_teacher_readings().
struct TeacherInputs {
  std::string image = "image";
  std::string text = "text";
};

/// Compares how two models read a training sample. The teacher gets images of its own, named
/// `prefix` + "_image", if their size or interpolation is not that of the student. It gets texts of
/// its own, `prefix` + "_text", if it has a vocabulary of its own (`own_vocabulary`) or another
/// context length, or reads the padding of texts while those of the student are not padded. The
/// mean and the standard deviation of the pixels may differ in any case. Give each of several
/// teachers another `prefix`.
[[nodiscard]] inline TeacherInputs teacher_inputs(const ModelConfig& teacher,
                                                  const ModelConfig& student,
                                                  bool own_vocabulary = false,
                                                  const std::string& prefix = "teacher") {
  TeacherInputs inputs;
  if (teacher.image_size() != student.image_size() ||
      teacher.interpolation != student.interpolation)
    inputs.image = prefix + "_image";
  if (own_vocabulary || teacher.text.context_length != student.text.context_length ||
      (teacher.text.reads_padding() && !student.text.reads_padding()))
    inputs.text = prefix + "_text";
  return inputs;
}

}  // namespace contrapunto
