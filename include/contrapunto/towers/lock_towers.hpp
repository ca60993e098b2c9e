// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "contrapunto/nn/batch_norm.hpp"
#include "contrapunto/towers/any_tower.hpp"
#include "contrapunto/towers/dual_encoder.hpp"

namespace contrapunto {

/// Freezes all parameters of `module` except those of the last `unlocked_groups` of `groups`, and
/// makes the latter trainable. With `freeze_batch_norm_statistics` each BatchNorm of a frozen group
/// keeps its running statistics from now on. Raises if `unlocked_groups` is negative and if no
/// parameter belongs to a name in `groups`.
inline void freeze_all_but_last(torch::nn::Module& module, const LockGroups& groups,
                                std::int64_t unlocked_groups,
                                bool freeze_batch_norm_statistics = false) {
  TORCH_CHECK(unlocked_groups >= 0, "freeze_all_but_last: unlocked_groups (", unlocked_groups,
              ") must not be negative");
  const auto parameters = module.named_parameters();
  const auto names = [](const std::string& part, const std::string& name) {
    return name == part || name.starts_with(part + ".");
  };
  for (const auto& group : groups)
    for (const auto& part : group)
      TORCH_CHECK(std::any_of(parameters.begin(), parameters.end(),
                              [&](const auto& item) { return names(part, item.key()); }),
                  "freeze_all_but_last: the lock groups of '", module.name(), "' list '", part,
                  "', but no parameter has this name or prefix");
  const auto count = static_cast<std::int64_t>(groups.size());
  const auto first_free = count - std::min(unlocked_groups, count);
  const auto is_free = [&](const std::string& name) {
    std::int64_t group = 0;
    for (std::int64_t i = 0; i < count; ++i)
      for (const auto& part : groups[static_cast<std::size_t>(i)])
        if (names(part, name)) group = i;
    return group >= first_free;
  };
  for (const auto& item : parameters) {
    auto parameter = item.value();
    parameter.set_requires_grad(is_free(item.key()));
  }
  if (!freeze_batch_norm_statistics) return;
  for (const auto& item : module.named_modules(/*name_prefix=*/"", /*include_self=*/false))
    if (auto* norm = item.value()->as<BatchNormImpl>(); norm && !is_free(item.key()))
      norm->freeze_statistics();
}

/// Calls freeze_all_but_last with the groups that the tower lists. Raises if it lists none.
/// Reference: Zhai et al. 2021, https://arxiv.org/abs/2111.07991
inline void lock_tower(const AnyTower& tower, std::int64_t unlocked_groups = 0,
                       bool freeze_batch_norm_statistics = false) {
  const auto groups = tower.lock_groups();
  TORCH_CHECK(
      groups, "lock_tower: the tower '", tower->name(),
      "' has no member `LockGroups lock_groups() const`; add one, or call "
      "set_requires_grad(false) on the parameters to freeze; see docs/guides/extending.md, Towers");
  freeze_all_but_last(*tower, *groups, unlocked_groups, freeze_batch_norm_statistics);
}

/// lock_tower for the image tower, the tower of x.
inline void lock_image_tower(DualEncoder& model, std::int64_t unlocked_groups = 0,
                             bool freeze_batch_norm_statistics = false) {
  lock_tower(model->x_tower(), unlocked_groups, freeze_batch_norm_statistics);
}

/// lock_tower for the text tower, the tower of y.
inline void lock_text_tower(DualEncoder& model, std::int64_t unlocked_groups = 0) {
  lock_tower(model->y_tower(), unlocked_groups);
}

}  // namespace contrapunto
