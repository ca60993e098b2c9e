// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "contrapunto/compress/load_teacher.hpp"
#include "contrapunto/compress/stored_teacher.hpp"
#include "contrapunto/compress/teacher_settings.hpp"
#include "contrapunto/core/run_facts.hpp"
#include "contrapunto/data/teacher_store.hpp"
#include "contrapunto/precision/precision_policy.hpp"
#include "contrapunto/step/with_teachers.hpp"
#include "contrapunto/towers/forward_gflops.hpp"
#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

/// The teachers of a run, for with_teachers(), and what a plan shows of each.
struct Teachers {
  std::vector<Teacher> steps = {};
  std::vector<TeacherFacts> facts = {};

  [[nodiscard]] bool empty() const { return steps.empty(); }
};

/// Makes the teachers of a trainer: one for each of `stores`, which are those that its loader has
/// opened, or the model that `settings` names if there is no store. With both, the model computes
/// what a store lacks: the images beside a store of texts, or the texts beside one of images. Each
/// teacher has the same part of `settings.distillation`.
///
/// Raises as load_teacher() and stored_teacher() do, and if a model is named that no store needs.
[[nodiscard]] inline Teachers load_teachers(
    const TeacherSettings& settings, const std::vector<std::shared_ptr<const TeacherStore>>& stores,
    const ModelConfig& student, const PrecisionPolicy& precision, at::Device device) {
  Teachers teachers;
  const auto model = load_teacher(settings, student, precision, device);
  if (stores.empty()) {
    if (model) teachers = {{model->step}, {model->facts()}};
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
  }
  TORCH_CHECK(!model || needs_model, "load_teachers: the model '", settings.teacher,
              "' would compute nothing, because the teacher store has both images and texts; leave "
              "out the teacher, or the store");
  return teachers;
}

}  // namespace contrapunto
