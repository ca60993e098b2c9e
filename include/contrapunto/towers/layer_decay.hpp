// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/optim/glob_matches.hpp"
#include "contrapunto/optim/multiply_learning_rates.hpp"
#include "contrapunto/optim/parameter_group.hpp"
#include "contrapunto/towers/any_tower.hpp"
#include "contrapunto/towers/dual_encoder.hpp"

namespace contrapunto {

/// Returns `groups` with lower learning rates near the input, to fine-tune pretrained weights: the
/// rate of layer i of N `layers`, counted from 0, is multiplied by decay^(N - 1 - i). A layer lists
/// modules and parameters, by their names or by globs, without `prefix`, which begins the names of
/// all parameters of the tower. Other parameters with the prefix belong to layer 0, as in
/// LockGroups, and those without it keep their rates. Raises unless `decay` is in (0, 1], and if
/// there are parameters with the prefix but no layer lists one of them.
/// Reference: Bao et al. 2021, https://arxiv.org/abs/2106.08254
[[nodiscard]] inline std::vector<ParameterGroup> layer_decay(
    const std::vector<ParameterGroup>& groups, const LockGroups& layers, double decay,
    const std::string& prefix = "") {
  TORCH_CHECK(decay > 0.0 && decay <= 1.0, "layer_decay: the decay (", decay,
              ") must be above 0 and at most 1");
  const auto is_used = [&](const std::string& pattern) {
    return std::any_of(groups.begin(), groups.end(), [&](const ParameterGroup& group) {
      return std::any_of(group.parameter_names.begin(), group.parameter_names.end(),
                         [&](const auto& name) { return glob_matches(pattern, name); });
    });
  };
  const auto rate = [&](std::size_t layer) {
    return std::pow(decay, static_cast<double>(layers.size() - 1 - layer));
  };
  if (decay == 1.0 || layers.empty() || !is_used(prefix + "*")) return groups;
  std::vector<std::pair<std::string, double>> factors;  // The first that matches applies.
  for (std::size_t layer = layers.size(); layer-- > 0;)
    for (const auto& part : layers[layer])
      for (const auto& pattern : {prefix + part, prefix + part + ".*"})
        if (is_used(pattern)) factors.emplace_back(pattern, rate(layer));
  TORCH_CHECK(!factors.empty(), "layer_decay: none of the names in the ", layers.size(),
              " layers is that of a parameter or of a module with parameters, after the prefix '",
              prefix, "'");
  factors.emplace_back(prefix + "*", rate(0));
  return multiply_learning_rates(groups, factors);
}

/// The same for both towers of `model`, whose decay_groups() are in `groups`, by the layers that
/// the towers list for lock_tower(): the embeddings, each block, and the projection with the full
/// rate. Raises if a tower lists none and `decay` is not 1.
[[nodiscard]] inline std::vector<ParameterGroup> layer_decay(std::vector<ParameterGroup> groups,
                                                             const DualEncoder& model,
                                                             double decay) {
  if (decay == 1.0) return groups;
  for (const auto& [prefix, tower] :
       {std::pair{"visual.", model->x_tower()}, std::pair{"text.", model->y_tower()}}) {
    const auto layers = tower.lock_groups();
    TORCH_CHECK(layers, "layer_decay: the tower '", tower->name(),
                "' has no member `LockGroups lock_groups() const`; add one, or give the layers of "
                "each tower to layer_decay(groups, layers, decay, prefix)");
    groups = layer_decay(groups, *layers, decay, prefix);
  }
  return groups;
}

}  // namespace contrapunto
