// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "contrapunto/settings/setting_check.hpp"
#include "contrapunto/settings/settings_table.hpp"

namespace contrapunto {

/// Settings that say how a program runs and not what it trains: where it writes, where it resumes
/// and when it reports. They are the same in every trainer.
struct RunSettings {
  std::string output = "runs/run";
  std::string resume = {};         ///< See RunFolderOptions::resume.
  std::string device = {};         ///< Empty: CUDA if there is a GPU.
  std::int64_t log_every = 10;     ///< Steps.
  std::int64_t save_every = 1000;  ///< Steps.
  std::int64_t stop_after = 0;     ///< Step at which the program stops; 0: at the end of the run.
  std::vector<std::string> compare = {};  ///< See EvaluationTable.
  bool plan = false;                      ///< Only print the plan.
  bool force = false;                     ///< Train even if the plan refuses the run.

  /// Returns the step at which the program stops in a run of `total_steps` steps. The schedule does
  /// not depend on it.
  [[nodiscard]] std::int64_t last_step(std::int64_t total_steps) const {
    return stop_after > 0 ? std::min(stop_after, total_steps) : total_steps;
  }
};

/// Adds `run`, which must outlive the table, to the current section of `table`. Any of these
/// settings may change when a run resumes.
inline void add_run_settings(SettingsTable& table, RunSettings& run) {
  const auto add = [&](const char* name, auto& variable, const char* help) -> Setting& {
    return table.add(name, variable, help).may_change();
  };
  add("output", run.output, "folder for everything that is written");
  add("resume", run.resume, "'latest', 'auto' (latest if any), or a checkpoint");
  add("device", run.device, "cuda or cpu; empty: cuda if there is one");
  add("log-every", run.log_every, "steps between records").check(at_least(1));
  add("save-every", run.save_every, "steps between two saves").check(at_least(1));
  add("stop-after", run.stop_after, "stop at this step, schedule unchanged; 0: never")
      .check(at_least(0));
  add("compare", run.compare,
      "runs or .csv files, whose evaluations are shown beside those of this");
  add("plan", run.plan, "print what the run would do, and train nothing");
  add("force", run.force, "train even if the plan refuses the run");
}

}  // namespace contrapunto
