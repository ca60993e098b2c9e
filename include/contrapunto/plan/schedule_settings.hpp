// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "contrapunto/schedule/duration.hpp"
#include "contrapunto/schedule/learning_rate_schedule.hpp"
#include "contrapunto/schedule/phase_request.hpp"
#include "contrapunto/schedule/run_length.hpp"
#include "contrapunto/schedule/run_phase.hpp"
#include "contrapunto/schedule/with_phases.hpp"
#include "contrapunto/settings/settings_table.hpp"

namespace contrapunto {

/// The length of a training and its learning rate.
struct ScheduleSettings {
  double epochs = 10, lr = 5e-4;
  std::string warmup = "5%", schedule = "cosine", cooldown = "20%";
  /// Parts of the training with sizes of their own, in order; see parse_phase(). The last part has
  /// those of the run. For example, most of the training with small images and short texts.
  /// Reference: Li et al. 2023, https://arxiv.org/abs/2305.07017
  std::vector<std::string> phases = {};
};

/// Adds all of `schedule` but the phases to the current section of `table`. `schedule` must outlive
/// the table.
inline void add_schedule_settings(SettingsTable& table, ScheduleSettings& schedule) {
  table.add("epochs", schedule.epochs, "passes over the training data");
  table.add("lr", schedule.lr, "learning rate at the end of the warm-up");
  table
      .add("warmup", schedule.warmup,
           "'500 steps', '1 epochs', '100000 samples' or '5%' of the run")
      .readable_by(parse_duration);
  table.add("schedule", schedule.schedule, "after the warm-up")
      .one_of({"cosine", "constant", "cooldown"});
  table.add("cooldown", schedule.cooldown, "its length, in the same forms")
      .readable_by(parse_duration);
}

/// Adds the phases, for programs that have a PhaseWatch.
inline void add_phase_settings(SettingsTable& table, ScheduleSettings& schedule) {
  table
      .add("phases", schedule.phases,
           "earlier parts, such as 'until 80%: image-size 112 batch-size 8192'; empty: none")
      .readable_by(parse_phase);
}

/// Returns the length of a run on `dataset_samples` samples with batches of `batch_size`. `own` has
/// the sizes of the last phase; see phase_of(). Raises as with_phases() does.
[[nodiscard]] inline RunLength run_length(const ScheduleSettings& schedule,
                                          std::int64_t dataset_samples, std::int64_t batch_size,
                                          const RunPhase& own = {}) {
  std::vector<PhaseRequest> requests;
  for (const auto& phase : schedule.phases) requests.push_back(parse_phase(phase));
  return with_phases({.dataset_samples = dataset_samples, .batch_size = batch_size},
                     schedule.epochs, requests, own, schedule.lr);
}

/// Returns the learning rate of `run`.
[[nodiscard]] inline LearningRateSchedule make_schedule(const ScheduleSettings& schedule,
                                                        const RunLength& run) {
  return LearningRateSchedule(
      {.kind = schedule.schedule,
       .peak_lr = schedule.lr,
       .warmup_steps = to_steps(parse_duration(schedule.warmup), run.at_start()),
       .cooldown_steps = to_steps(parse_duration(schedule.cooldown), run),
       .total_steps = run.total_steps,
       .phases = run.phases});
}

}  // namespace contrapunto
