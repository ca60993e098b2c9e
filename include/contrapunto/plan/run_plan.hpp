// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/run_facts.hpp"
#include "contrapunto/plan/plan_finding.hpp"

namespace contrapunto {

/// A summary of what a run is going to do, made from the facts that its parts report. Print
/// `to_string()` and check `findings()` before the first step.
///
///   const RunPlan plan(model_facts(*model, config), optimizer, schedule, precision, ranks,
///                      DataFacts{.samples = 50'000, .batch_size = 256});
///
/// Facts that no part reported are shown as unknown, and checks that need them are skipped. Without
/// RanksFacts there is one rank.
class RunPlan {
 public:
  /// Bytes on one device. An unset value is unknown.
  struct Memory {
    std::optional<double> weights = std::nullopt;
    std::optional<double> gradients = std::nullopt;
    std::optional<double> optimizer = std::nullopt;
    std::optional<double> activations = std::nullopt;
    double other = 0.0;

    /// Sum of all known values except the activations.
    [[nodiscard]] double without_activations() const {
      return weights.value_or(0) + gradients.value_or(0) + optimizer.value_or(0) + other;
    }
    /// Sum of all known values.
    [[nodiscard]] double total() const { return without_activations() + activations.value_or(0); }
    [[nodiscard]] bool complete() const { return weights && gradients && optimizer && activations; }
  };

  RunPlan() = default;

  /// Calls add() for each part.
  template <class... Parts>
  requires(sizeof...(Parts) > 0) explicit RunPlan(const Parts&... parts) { (add(parts), ...); }

  /// Adds a struct of core/run_facts.hpp, or the result of `facts()` of any other object. An empty
  /// std::optional adds nothing. Later facts of a kind replace earlier ones, except that there may
  /// be several MemoryFacts, TeacherFacts and PhaseFacts.
  template <class Part>
  RunPlan& add(const Part& part) {
    if constexpr (requires { this->take(part); })
      take(part);
    else if constexpr (requires { this->take(part.facts()); })
      take(part.facts());
    else if constexpr (requires { this->add(*part), part.has_value(); }) {
      if (part.has_value()) add(*part);
    } else {
      static_assert(
          requires { part.facts(); },
          "RunPlan::add takes a struct of contrapunto/core/run_facts.hpp, or an object "
          "whose member facts() returns one; see docs/decisions, plan from facts");
    }
    return *this;
  }

  /// Adds a finding of the program itself; see PlanFinding::Severity.
  void refuse(std::string message) {
    own_findings_.push_back({PlanFinding::Severity::kError, std::move(message)});
  }
  /// Refuses a run that goes on with other settings; `lines` are those of setting_differences().
  void refuse_changes(const std::vector<std::string>& lines) {
    for (const auto& line : lines) refuse("the run would go on with another setting: " + line);
  }
  void warn(std::string message) {
    own_findings_.push_back({PlanFinding::Severity::kWarning, std::move(message)});
  }

  /// Number of ranks; 1 without RanksFacts.
  [[nodiscard]] std::int64_t ranks() const { return ranks_.ranks; }

  /// Number of full batches in an epoch, plus one if the partial batch is kept. It is unset if the
  /// data or the batch size is unknown or empty.
  [[nodiscard]] std::optional<std::int64_t> steps_per_epoch() const;

  /// Optimizer steps of the whole run, as reported by the schedule.
  [[nodiscard]] std::optional<std::int64_t> total_steps() const {
    return schedule_ ? schedule_->total_steps : std::nullopt;
  }

  /// Number of passes over the data, which may be fractional.
  [[nodiscard]] std::optional<double> epochs() const;

  /// Samples of the whole run; unset if the data or the number of steps is unknown.
  [[nodiscard]] std::optional<std::int64_t> total_samples() const;

  /// Samples whose activations one device holds at the same time. It is unset if the number is
  /// measured at the first step, or if the step or the data is unknown. It is that of the last
  /// phase.
  [[nodiscard]] std::optional<std::int64_t> samples_in_flight() const;

  /// Cost of a step in units of one forward pass. A backward pass costs two. GradCache and
  /// activation checkpointing each add one forward pass.
  [[nodiscard]] std::optional<std::int64_t> forwards_per_step() const;

  /// Estimates the memory on one device from the facts, in the phase that needs the most.
  [[nodiscard]] Memory memory() const;

  /// Estimates how many samples one device of `device_bytes` holds at the same time beside weights,
  /// gradients and optimizer, if a tenth of it is left for workspaces and fragmentation: the
  /// largest chunk of a step, or the largest batch of a device for a step without chunks. 0 if not
  /// one fits. It is unset if a part of the memory is unknown. Losses over the whole batch, such as
  /// a matrix of similarities, are not counted.
  [[nodiscard]] std::optional<std::int64_t> largest_chunk(double device_bytes) const;

  /// Returns a table for people to read, without a final newline.
  [[nodiscard]] std::string to_string() const;

  /// Returns the problems of the run, errors first; empty if there are none. The messages name
  /// options of the library, such as warmup_steps, not the flags of a program.
  [[nodiscard]] std::vector<PlanFinding> findings() const;

 private:
  void take(ModelFacts facts) { model_ = std::move(facts); }
  void take(DataFacts facts) { data_ = facts; }
  void take(StepFacts facts) { step_ = std::move(facts); }
  void take(OptimizerFacts facts) { optimizer_ = std::move(facts); }
  void take(ScheduleFacts facts) { schedule_ = std::move(facts); }
  void take(PrecisionFacts facts) { precision_ = std::move(facts); }
  void take(RanksFacts facts) { ranks_ = facts; }
  void take(WeightsFacts facts) { weights_ = std::move(facts); }
  void take(DeviceFacts facts) { device_ = facts; }
  void take(MemoryFacts facts) {
    if (facts.bytes > 0) other_memory_.push_back(std::move(facts));
  }
  void take(AverageFacts facts) { average_ = facts; }
  void take(TeacherFacts facts) { teachers_.push_back(std::move(facts)); }
  void take(const PhaseFacts& facts) { phases_.push_back(facts); }

  void find_data_faults(std::vector<PlanFinding>& found) const;
  void find_schedule_faults(std::vector<PlanFinding>& found) const;
  void find_optimizer_faults(std::vector<PlanFinding>& found) const;
  void find_model_faults(std::vector<PlanFinding>& found) const;
  void find_memory_faults(std::vector<PlanFinding>& found) const;

  [[nodiscard]] std::int64_t parameters(bool trainable) const;
  [[nodiscard]] bool has_chunks() const {
    return step_ && step_->chunks != StepFacts::Chunks::kWholeBatch;
  }
  [[nodiscard]] double highest_lr() const;
  /// Bytes of activations that a sample of the model, or of a phase of it, keeps for the backward;
  /// unset if unknown. The model and the precision must be known.
  template <class Facts>
  [[nodiscard]] std::optional<double> bytes_per_sample(const Facts& facts) const;
  /// GFLOP of a sample in one step, with backward and without teachers; unset if unknown.
  [[nodiscard]] std::optional<double> gflops_per_step() const;
  /// Samples of a batch of `batch_size` that a rank holds at once; unset as samples_in_flight().
  [[nodiscard]] std::optional<std::int64_t> in_flight_of(std::int64_t batch_size) const;
  /// GFLOP of a forward pass of all samples of `phase`.
  [[nodiscard]] double forward_gflops_of(const PhaseFacts& phase) const;
  /// GFLOP of the forward passes of the model on each sample of the run once; unset if unknown.
  [[nodiscard]] std::optional<double> forward_gflops_of_run() const;
  /// A row of the table for each phase.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> phase_rows() const;

  std::optional<ModelFacts> model_;
  std::optional<DataFacts> data_;
  std::optional<StepFacts> step_;
  AverageFacts average_;
  std::optional<OptimizerFacts> optimizer_;
  std::optional<ScheduleFacts> schedule_;
  std::optional<PrecisionFacts> precision_;
  RanksFacts ranks_;
  WeightsFacts weights_;
  DeviceFacts device_;
  std::vector<MemoryFacts> other_memory_;
  std::vector<TeacherFacts> teachers_;
  std::vector<PhaseFacts> phases_;
  std::vector<PlanFinding> own_findings_;
};

}  // namespace contrapunto

#include "contrapunto/plan/detail/run_plan_findings.hpp"  // NOLINT: the members' definitions
#include "contrapunto/plan/detail/run_plan_text.hpp"      // NOLINT
