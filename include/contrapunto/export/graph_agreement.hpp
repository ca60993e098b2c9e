// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>

#include <algorithm>

#include "contrapunto/core/unit_rows.hpp"
#include "contrapunto/export/graph.hpp"
#include "contrapunto/export/reference_inputs.hpp"
#include "contrapunto/export/run_graph.hpp"
#include "contrapunto/kernels/normalize_images.hpp"
#include "contrapunto/towers/any_tower.hpp"
#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

/// Returns the smallest cosine between features that `graph` computes from its reference_inputs()
/// and those of the towers that it describes: `image` for the output `image_features`, `text` for
/// `text_features`; a tower whose output the graph does not have may be empty. It is 1 up to
/// rounding if the graph is right, and some 1e-5 less with weights of 16 bits. The towers must be
/// on the CPU, in float32 and in evaluation mode; `config` gives mean and standard deviation for
/// graphs that read bytes.
[[nodiscard]] inline double graph_agreement(const Graph& graph, const ModelConfig& config,
                                            const AnyTower& image, const AnyTower& text = {}) {
  const at::NoGradGuard no_grad;
  auto inputs = reference_inputs(graph);
  const auto outputs = run_graph(graph, inputs);
  double smallest = 1.0;
  const auto compare = [&](const char* name, const AnyTower& tower, const at::Tensor& input) {
    const auto found = outputs.find(name);
    if (found == outputs.end()) return;
    TORCH_CHECK(tower, "graph_agreement: the graph computes ", name, ", but the tower is missing");
    const auto cosine = (unit_rows(found->second) * unit_rows(tower(input))).sum();
    smallest = std::min(smallest, cosine.item<double>());
  };
  auto images = inputs["images"];
  if (images.defined() && images.scalar_type() == at::kByte)
    images = normalize_images(images.permute({0, 3, 1, 2}).contiguous(), config.image_mean,
                              config.image_std);
  compare("image_features", image, images);
  compare("text_features", text, inputs["texts"]);
  return smallest;
}

}  // namespace contrapunto
