// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstdint>
#include <string>
#include <vector>

#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/optim/adamw.hpp"
#include "contrapunto/optim/any_update_rule.hpp"
#include "contrapunto/optim/beta2_for_batch.hpp"
#include "contrapunto/optim/lamb.hpp"
#include "contrapunto/optim/lion.hpp"
#include "contrapunto/optim/muon.hpp"
#include "contrapunto/optim/parameter_group.hpp"
#include "contrapunto/optim/sharded_optimizer.hpp"
#include "contrapunto/optim/stable_adamw.hpp"
#include "contrapunto/settings/setting_check.hpp"
#include "contrapunto/settings/settings_table.hpp"

namespace contrapunto {

/// Settings of the optimizer of a trainer; see make_optimizer().
struct OptimizerSettings {
  std::string optimizer = "adamw";  ///< See update_rule().
  double beta1 = 0.0;               ///< 0: see update_rule().
  double beta2 = 0.0;               ///< 0: see update_rule().
  double weight_decay = 0.1;        ///< For decay_groups().
  bool shard_optimizer = false;     ///< Each rank keeps a part of the state.
};

/// Adds `optimizer`, which must outlive the table, to the current section of `table`.
inline void add_optimizer_settings(SettingsTable& table, OptimizerSettings& optimizer) {
  OptimizerSettings& o = optimizer;
  table.add("optimizer", o.optimizer, "rule by which weights change")
      .one_of({"adamw", "stable-adamw", "lamb", "lion", "muon"});
  table.add("beta1", o.beta1, "decay of the mean of gradients; 0: 0.9")
      .check(at_least(0))
      .check(below(1));
  table.add("beta2", o.beta2, "decay of the mean of squares; 0: by optimizer and batch size")
      .check(at_least(0))
      .check(below(1));
  table.add("weight-decay", o.weight_decay, "weight decay of matrices").check(at_least(0));
  table.add("shard-optimizer", o.shard_optimizer, "split its state over the ranks").may_change();
}

/// Returns the rule `settings.optimizer`: "adamw", "stable-adamw", "lamb", "lion" or "muon". Means
/// decay as in `usual`, the AdamW of the trainer, but squares by beta2_for_batch(); LAMB keeps its
/// eps, and Lion its own decays, 0.9 and 0.99. A beta1 or beta2 in `settings` that is not 0 comes
/// first; with Muon it is that of the parameters that AdamW updates. Raises for another name.
[[nodiscard]] inline AnyUpdateRule update_rule(const OptimizerSettings& settings,
                                               const AdamWRule& usual, std::int64_t batch_size) {
  const auto& name = settings.optimizer;
  const auto given_or = [](double given, double otherwise) {
    return given > 0.0 ? given : otherwise;
  };
  const double beta1 = given_or(settings.beta1, usual.beta1);
  const double beta2 = given_or(settings.beta2, beta2_for_batch(batch_size, usual.beta2));
  if (name == "adamw") return AdamWRule{beta1, beta2, usual.eps};
  if (name == "stable-adamw") return StableAdamWRule{beta1, beta2, usual.eps};
  if (name == "lamb") return LambRule{.beta1 = beta1, .beta2 = beta2};
  if (name == "muon") return MuonRule{.adamw = {beta1, beta2, usual.eps}};
  TORCH_CHECK(name == "lion", "update_rule: there is no optimizer '", name,
              "'; there are adamw, stable-adamw, lamb, lion and muon");
  const LionRule lion;
  return LionRule{given_or(settings.beta1, lion.beta1), given_or(settings.beta2, lion.beta2)};
}

/// Returns the optimizer of a trainer with batches of `batch_size` samples over all ranks: the
/// update_rule() of `settings`, with its state sharded over `ranks` if `settings` say so.
[[nodiscard]] inline ShardedOptimizer<AnyUpdateRule> make_optimizer(
    const OptimizerSettings& settings, const std::vector<ParameterGroup>& groups,
    const Ranks& ranks, const AdamWRule& usual, std::int64_t batch_size) {
  return ShardedOptimizer<AnyUpdateRule>(groups, settings.shard_optimizer ? ranks : Ranks(),
                                         update_rule(settings, usual, batch_size));
}

}  // namespace contrapunto
