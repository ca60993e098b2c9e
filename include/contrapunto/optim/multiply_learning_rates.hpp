// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/optim/glob_matches.hpp"
#include "contrapunto/optim/parameter_group.hpp"

namespace contrapunto {

/// Returns `groups` split so that the learning rates of parameters whose names match a pattern are
/// multiplied by its factor, in addition to their previous multiplier: `{{"visual.*", 0.1},
/// {"logit_*", 0.0}}`. The first pattern that matches a name applies. Raises if a pattern matches
/// nothing and for a negative factor.
[[nodiscard]] inline std::vector<ParameterGroup> multiply_learning_rates(
    const std::vector<ParameterGroup>& groups,
    const std::vector<std::pair<std::string, double>>& factors) {
  std::vector<std::string> names;
  for (const auto& group : groups)
    names.insert(names.end(), group.parameter_names.begin(), group.parameter_names.end());
  for (const auto& [pattern, factor] : factors) {
    detail::check_glob_matches("multiply_learning_rates", pattern, names);
    TORCH_CHECK(factor >= 0.0, "multiply_learning_rates: the factor of \"", pattern, "\" (", factor,
                ") must be at least 0");
  }
  const auto factor_of = [&](const std::string& name) {
    for (const auto& [pattern, factor] : factors)
      if (glob_matches(pattern, name)) return factor;
    return 1.0;
  };

  std::vector<ParameterGroup> split;
  for (const auto& group : groups) {
    std::map<double, ParameterGroup> by_factor;
    for (std::size_t i = 0; i < group.parameters.size(); ++i) {
      const double factor = factor_of(group.parameter_names[i]);
      auto& part = by_factor[factor];
      if (part.parameters.empty()) {
        std::ostringstream name;
        name << group.name;
        if (factor != 1.0) name << " x" << factor;
        part = {name.str(), {}, {}, group.weight_decay, group.lr_multiplier * factor};
      }
      part.parameters.push_back(group.parameters[i]);
      part.parameter_names.push_back(group.parameter_names[i]);
    }
    for (auto& [_, part] : by_factor) split.push_back(std::move(part));
  }
  return split;
}

}  // namespace contrapunto
