// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "contrapunto/settings/setting_check.hpp"
#include "contrapunto/settings/settings_table.hpp"

namespace contrapunto {

/// Settings of a teacher from which the model of a trainer learns; see load_teachers().
struct TeacherSettings {
  std::string teacher = {};                ///< See read_weights(); empty: no teacher.
  std::string teacher_model = "ViT-B-16";  ///< See find_model_config().
  std::string teacher_vocabulary = {};     ///< See make_tokenizer(); empty: that of the student.
  std::string teacher_precision = {};      ///< See precision_policy(); empty: that of the run.
  /// Stores of teacher embeddings (TeacherStore), one per teacher; see load_teachers().
  std::vector<std::string> teacher_stores = {};
  double distillation = 1.0;              ///< Weight of AffinityLoss; the student's own loss has
                                          ///< 1 - distillation.
  double distillation_scale = 0.0;        ///< Scale of all similarities in AffinityLoss, such as
                                          ///< TinyCLIP's 50; 0: that of each model.
  double feature_distillation = 0.0;      ///< Weight of FeatureDistillation; CLIP-KD: 2000.
  double interactive_distillation = 0.0;  ///< Weight of InteractiveLoss; CLIP-KD: 1.

  /// Whether the loss compares features of the student with features of the teacher, which needs
  /// FeatureMaps if the widths differ.
  [[nodiscard]] bool compares_features() const {
    return feature_distillation > 0 || interactive_distillation > 0;
  }
};

/// Adds `teacher`, which must outlive the table, to the current section of `table`.
inline void add_teacher_settings(SettingsTable& table, TeacherSettings& teacher) {
  table.add("teacher", teacher.teacher,
            "OpenCLIP weights (.safetensors or .pt) of a teacher; empty: none");
  table.add("teacher-model", teacher.teacher_model, "a name, a .json file or weights, like model");
  table.add("teacher-vocabulary", teacher.teacher_vocabulary,
            "its vocabulary file, like vocabulary; empty: the student's");
  table
      .add("teacher-precision", teacher.teacher_precision, "like precision; empty: that of the run")
      .one_of({"", "fp32", "fp16", "bf16", "pure_bf16"});
  table.add("teacher-store", teacher.teacher_stores,
            "folders that store_teacher filled, one per teacher");
  table.add("distillation", teacher.distillation, "the teacher's part of the loss")
      .check(in_range(0, 1));
  table
      .add("distillation-scale", teacher.distillation_scale,
           "scale of the similarities in it; 0: that of each model")
      .check(at_least(0));
  table
      .add("feature-distillation", teacher.feature_distillation,
           "weight of the distance to the teacher's features")
      .check(at_least(0));
  table
      .add("interactive-distillation", teacher.interactive_distillation,
           "weight of the match of the student's images with the teacher's texts, and the reverse")
      .check(at_least(0));
}

}  // namespace contrapunto
