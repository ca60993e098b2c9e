// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace contrapunto {

/// Names of the tensors of a batch that hold the stored embeddings of teacher `teacher`, counted
/// from 0: "teacher_image_features", "teacher_image_features2" and so on. See
/// LoaderOptions::teacher_stores.
[[nodiscard]] inline std::string teacher_image_features(std::int64_t teacher) {
  return "teacher_image_features" + (teacher == 0 ? "" : std::to_string(teacher + 1));
}
[[nodiscard]] inline std::string teacher_text_features(std::int64_t teacher) {
  return "teacher_text_features" + (teacher == 0 ? "" : std::to_string(teacher + 1));
}

}  // namespace contrapunto
