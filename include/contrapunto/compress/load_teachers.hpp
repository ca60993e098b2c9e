// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "contrapunto/compress/load_teacher.hpp"
#include "contrapunto/compress/stored_teacher.hpp"
#include "contrapunto/compress/teacher_settings.hpp"
#include "contrapunto/core/distilled_embeddings.hpp"
#include "contrapunto/core/run_facts.hpp"
#include "contrapunto/data/teacher_store.hpp"
#include "contrapunto/nn/feature_maps.hpp"
#include "contrapunto/optim/decay_groups.hpp"
#include "contrapunto/optim/parameter_group.hpp"
#include "contrapunto/precision/precision_policy.hpp"
#include "contrapunto/step/with_feature_maps.hpp"
#include "contrapunto/step/with_teachers.hpp"
#include "contrapunto/towers/forward_gflops.hpp"
#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

/// The teachers of a run, for with_teachers(), and what a plan shows of each.
struct Teachers {
  std::vector<Teacher> steps = {};
  std::vector<TeacherFacts> facts = {};
  std::vector<std::int64_t> widths = {};  ///< Of the features of each.
  FeatureMaps maps = nullptr;             ///< Trained; null if the loss needs none.

  [[nodiscard]] bool empty() const { return steps.empty(); }

  /// Makes maps from the width of `student` to those of the teachers if the loss of `settings`
  /// compares features of different widths; see with_feature_maps(). Their first values are drawn
  /// here, so every rank must have drawn the same random numbers before.
  void add_maps(const TeacherSettings& settings, const ModelConfig& student, at::Device device) {
    for (auto& teacher : facts)
      teacher.feature_weight = settings.feature_distillation + settings.interactive_distillation;
    const auto differs = [&](std::int64_t width) { return width != student.embed_dim; };
    if (!settings.compares_features() || std::none_of(widths.begin(), widths.end(), differs))
      return;
    maps = FeatureMaps(student.embed_dim, widths);
    maps->to(device);
  }
};

/// Makes the teachers of a trainer: one for each of `stores`, which are those that its loader has
/// opened, or the model that `settings` names if there is no store. With both, the model computes
/// what a store lacks: the images beside a store of texts, or the texts beside one of images. Each
/// teacher has the same part of `settings.distillation`, and the maps that the loss needs.
///
/// Raises as load_teacher() and stored_teacher() do, and if a model is named that no store needs.
[[nodiscard]] inline Teachers load_teachers(
    const TeacherSettings& settings, const std::vector<std::shared_ptr<const TeacherStore>>& stores,
    const ModelConfig& student, const PrecisionPolicy& precision, at::Device device) {
  Teachers teachers;
  const auto model = load_teacher(settings, student, precision, device);
  if (stores.empty()) {
    if (model) teachers = {{model->step}, {model->facts()}, {model->config.embed_dim}};
    teachers.add_maps(settings, student, device);
    return teachers;
  }
  bool needs_model = false;
  for (const auto& store : stores) {
    const TeacherStoreInfo& info = store->info();
    const auto number = static_cast<std::int64_t>(teachers.steps.size());
    TeacherFacts facts = store->facts(settings.distillation / static_cast<double>(stores.size()));
    if (info.images() && info.texts) {
      teachers.steps.push_back(stored_teacher(*store, number, device));
    } else {
      teachers.steps.push_back(stored_teacher(*store, number, device,
                                              model ? std::optional(model->step) : std::nullopt));
      const auto stored = facts;
      facts = model->facts();
      facts.weight = stored.weight;
      facts.stored_views = stored.stored_views;
      facts.stored_texts = stored.stored_texts;
      const auto cost = forward_gflops(model->config);
      facts.forward_gflops = info.texts ? cost.x : cost.y;
      if (needs_model) facts.bytes = 0.0;  // The same weights serve another store too.
      needs_model = true;
    }
    teachers.facts.push_back(std::move(facts));
    teachers.widths.push_back(info.width);
  }
  TORCH_CHECK(!model || needs_model, "load_teachers: the model '", settings.teacher,
              "' would compute nothing, because the teacher store has both images and texts; leave "
              "out the teacher, or the store");
  teachers.add_maps(settings, student, device);
  return teachers;
}

/// Adds `teachers` to the step model of `student`, with the maps of the features if they have some;
/// see with_teachers() of a list and with_feature_maps().
[[nodiscard]] inline StepModel<DistilledEmbeddings> with_teachers(StepModel<> student,
                                                                  const Teachers& teachers) {
  auto model = with_teachers(std::move(student), teachers.steps);
  return teachers.maps ? with_feature_maps(std::move(model), teachers.maps) : model;
}

/// Returns decay_groups() of `student`, and a group with the maps of the features if `teachers`
/// have some.
[[nodiscard]] inline std::vector<ParameterGroup> distillation_groups(
    const torch::nn::Module& student, const Teachers& teachers, double weight_decay) {
  auto groups = decay_groups(student, weight_decay);
  if (!teachers.maps) return groups;
  ParameterGroup maps{.name = "feature_maps", .weight_decay = weight_decay};
  for (const auto& item : teachers.maps->named_parameters()) {
    maps.parameters.push_back(item.value());
    maps.parameter_names.push_back("feature_maps." + item.key());
  }
  groups.push_back(std::move(maps));
  return groups;
}

}  // namespace contrapunto
