// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>
#include <vector>

#include "contrapunto/core/batch.hpp"
#include "contrapunto/core/distilled_embeddings.hpp"
#include "contrapunto/nn/feature_maps.hpp"
#include "contrapunto/step/step_model.hpp"

namespace contrapunto {

/// Adds linear maps of the student's features to a step model with teachers, for
/// `FeatureDistillation` and `InteractiveLoss` where the widths differ. The parameters of the maps
/// are trained: they belong to the step model, and the step strategy sums their gradients over the
/// ranks. Give them to the optimizer and to the checkpoint as well. The maps stay in float32 and
/// run once per step on the whole batch, so their gradients are exact whatever the chunks are.
[[nodiscard]] inline StepModel<DistilledEmbeddings> with_feature_maps(
    StepModel<DistilledEmbeddings> model, FeatureMaps maps) {
  for (const auto& parameter : maps->parameters()) model.parameters.push_back(parameter);
  model.head = [head = std::move(model.head), maps = std::move(maps)](
                   const std::vector<Features>& features, const Batch& batch) {
    auto inputs = head(features, batch);
    inputs.mapped = maps->forward(inputs.student);
    return inputs;
  };
  return model;
}

}  // namespace contrapunto
