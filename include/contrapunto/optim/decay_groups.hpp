// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "contrapunto/optim/glob_matches.hpp"
#include "contrapunto/optim/parameter_group.hpp"

namespace contrapunto {
namespace detail {

/// Positional embeddings of transformers and class tokens are offsets rather than maps. The
/// positional embedding of ResNet's attention pool is decayed, as in OpenCLIP.
[[nodiscard]] inline bool is_offset(std::string_view name) {
  const auto named = [&](std::string_view last) {
    return name == last || name.ends_with("." + std::string(last));
  };
  return named("class_embedding") ||
         (named("positional_embedding") && !named("attnpool.positional_embedding"));
}

}  // namespace detail

/// Returns the trainable parameters of `module` in two groups, "decay" and "no_decay"; an empty
/// group is omitted. A parameter is not decayed if it has at most one dimension (biases, norms,
/// logit scale and bias), if it is a positional or class embedding, or if it matches one of
/// `no_decay_patterns` (globs over full names, such as "text.token_embedding.*"). Frozen parameters
/// are omitted, and a parameter with two names is listed once. Raises if a pattern matches nothing
/// and if no parameter is trainable. The rule is that of OpenCLIP's main branch; its release 3.3
/// decays positional embeddings.
[[nodiscard]] inline std::vector<ParameterGroup> decay_groups(
    const torch::nn::Module& module, double weight_decay,
    const std::vector<std::string>& no_decay_patterns = {}) {
  const auto named = module.named_parameters();
  for (const auto& pattern : no_decay_patterns)
    detail::check_glob_matches("decay_groups", pattern, named.keys());

  ParameterGroup decay{"decay", {}, {}, weight_decay};
  ParameterGroup no_decay{"no_decay", {}, {}, 0.0};
  std::unordered_set<const void*> seen;
  for (const auto& item : named) {
    const auto& name = item.key();
    const auto& parameter = item.value();
    if (!parameter.defined() || !parameter.requires_grad()) continue;
    if (!seen.insert(parameter.unsafeGetTensorImpl()).second) continue;
    const bool exempt =
        parameter.dim() <= 1 || detail::is_offset(name) ||
        std::any_of(no_decay_patterns.begin(), no_decay_patterns.end(),
                    [&](const std::string& pattern) { return glob_matches(pattern, name); });
    auto& group = exempt ? no_decay : decay;
    group.parameters.push_back(parameter);
    group.parameter_names.push_back(name);
  }

  std::vector<ParameterGroup> groups;
  for (auto& group : {decay, no_decay})
    if (!group.parameters.empty()) groups.push_back(group);
  TORCH_CHECK(!groups.empty(), "decay_groups: none of the ", named.size(),
              " parameters of the module is trainable");
  return groups;
}

}  // namespace contrapunto
