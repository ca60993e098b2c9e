// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/log/format.hpp"
#include "contrapunto/optim/beta2_for_batch.hpp"
#include "contrapunto/plan/detail/plan_numbers.hpp"
#include "contrapunto/plan/run_plan.hpp"

/// RunPlan: values derived from the facts, and the table that shows them.
namespace contrapunto {

inline std::optional<std::int64_t> RunPlan::steps_per_epoch() const {
  if (!data_ || data_->batch_size < 1) return std::nullopt;
  const auto rest = data_->drops_last_batch ? 0 : data_->batch_size - 1;
  const auto steps = (data_->samples + rest) / data_->batch_size;
  return steps > 0 ? std::optional(steps) : std::nullopt;
}

inline std::optional<double> RunPlan::epochs() const {
  const auto per_epoch = steps_per_epoch();
  if (!per_epoch || !total_steps()) return std::nullopt;
  if (!phases_.empty()) {
    double passes = 0.0;
    for (const auto& phase : phases_)
      passes += detail::fraction_of(phase.steps, data_->samples / phase.batch_size);
    return passes;
  }
  return detail::fraction_of(*total_steps(), *per_epoch);
}

inline std::optional<std::int64_t> RunPlan::total_samples() const {
  if (!data_ || !total_steps()) return std::nullopt;
  if (phases_.empty()) return *total_steps() * data_->batch_size;
  std::int64_t samples = 0;
  for (const auto& phase : phases_) samples += phase.steps * phase.batch_size;
  return samples;
}

inline std::optional<std::int64_t> RunPlan::in_flight_of(std::int64_t batch_size) const {
  if (!step_ || step_->chunks == StepFacts::Chunks::kMeasured) return std::nullopt;
  const auto of_rank = (batch_size + ranks() - 1) / ranks();
  return has_chunks() ? std::min(step_->chunk_size, of_rank) : of_rank;
}

inline std::optional<std::int64_t> RunPlan::samples_in_flight() const {
  return data_ ? in_flight_of(data_->batch_size) : std::nullopt;
}

inline std::optional<std::int64_t> RunPlan::forwards_per_step() const {
  if (!step_) return std::nullopt;
  return 2 + step_->forward_passes + (model_ && model_->checkpoints_activations ? 1 : 0);
}

inline std::int64_t RunPlan::parameters(bool trainable) const {
  std::int64_t count = 0;
  if (model_)
    for (const auto& tower : model_->towers)
      count += trainable ? tower.trainable_parameters : tower.parameters;
  return count;
}

template <class Facts>
std::optional<double> RunPlan::bytes_per_sample(const Facts& facts) const {
  const auto elements =
      model_->checkpoints_activations ? facts.checkpointed_elements : facts.activation_elements;
  return elements ? std::optional(*elements * precision_->activation_bytes) : std::nullopt;
}

inline RunPlan::Memory RunPlan::memory() const {
  Memory memory;
  memory.other = average_.bytes;
  for (const auto& teacher : teachers_) memory.other += teacher.bytes;
  for (const auto& part : other_memory_) memory.other += part.bytes;
  if (!model_) return memory;
  const auto trainable = static_cast<double>(parameters(/*trainable=*/true));
  if (optimizer_)
    memory.optimizer = trainable * optimizer_->bytes_per_parameter /
                       static_cast<double>(optimizer_->shards_state ? ranks() : 1);
  if (!precision_) return memory;
  memory.weights = static_cast<double>(parameters(/*trainable=*/false)) * precision_->weight_bytes;
  memory.gradients = trainable * precision_->gradient_bytes;
  const auto add = [&](const auto& facts, std::optional<std::int64_t> samples) {
    if (const auto of_sample = bytes_per_sample(facts); samples && of_sample)
      memory.activations =
          std::max(memory.activations.value_or(0.0), *of_sample * static_cast<double>(*samples));
  };
  add(*model_, samples_in_flight());
  for (const auto& phase : phases_) add(phase, in_flight_of(phase.batch_size));
  return memory;
}

inline std::optional<std::int64_t> RunPlan::largest_chunk(double device_bytes) const {
  const auto needs = memory();
  if (!needs.weights || !needs.gradients || !needs.optimizer) return std::nullopt;
  const auto of_sample = bytes_per_sample(*model_);
  if (!of_sample || *of_sample <= 0) return std::nullopt;
  const double samples = (0.9 * device_bytes - needs.without_activations()) / *of_sample;
  return static_cast<std::int64_t>(std::max(samples, 0.0));
}

inline double RunPlan::highest_lr() const {
  const auto total = schedule_->total_steps.value_or(schedule_->warmup_steps);
  return schedule_->warmup_steps <= total
             ? schedule_->peak_lr
             : schedule_->peak_lr * detail::fraction_of(total, schedule_->warmup_steps);
}

inline std::optional<double> RunPlan::gflops_per_step() const {
  const auto forwards = forwards_per_step();
  if (!forwards || !model_ || !model_->forward_gflops) return std::nullopt;
  return *model_->forward_gflops * static_cast<double>(*forwards);
}

inline double RunPlan::forward_gflops_of(const PhaseFacts& phase) const {
  const auto of_sample = phase.forward_gflops.value_or(model_->forward_gflops.value_or(0.0));
  return of_sample * static_cast<double>(phase.steps * phase.batch_size);
}

inline std::optional<double> RunPlan::forward_gflops_of_run() const {
  if (!model_ || !model_->forward_gflops || !total_samples()) return std::nullopt;
  if (phases_.empty()) return *model_->forward_gflops * static_cast<double>(*total_samples());
  double all = 0.0;
  for (const auto& phase : phases_) all += forward_gflops_of(phase);
  return all;
}

inline std::vector<std::pair<std::string, std::string>> RunPlan::phase_rows() const {
  std::vector<std::pair<std::string, std::string>> rows;
  const auto all = forward_gflops_of_run();
  for (const auto& phase : phases_) {
    auto text = with_commas(phase.steps) + " steps of " + with_commas(phase.batch_size) +
                " from step " + with_commas(phase.first_step);
    if (phase.image_size) text += ", images of " + with_commas(*phase.image_size) + " pixels";
    if (phase.text_length) text += ", texts of " + with_commas(*phase.text_length) + " tokens";
    if (phase.lr_factor != 1.0) text += ", learning rate x " + with_digits(phase.lr_factor, 3);
    if (all && *all > 0.0)
      text += ", " + as_percent(forward_gflops_of(phase) / *all, 0) + " of the computation";
    rows.emplace_back("phase " + std::to_string(rows.size() + 1), text);
  }
  return rows;
}

inline std::string RunPlan::to_string() const {
  std::vector<std::pair<std::string, std::string>> rows;
  const auto row = [&](const std::string& name, const std::string& value) {
    rows.emplace_back(name, value.empty() ? "unknown" : value);
  };
  const auto total = total_steps();

  std::string text;
  if (model_) {
    std::string towers;
    for (const auto& tower : model_->towers) {
      if (tower.parameters < 50'000 && model_->towers.size() > 1) continue;  // A scale or a bias.
      towers += (towers.empty() ? "" : ", ") + tower.name + " " +
                detail::in_millions(tower.parameters) +
                (tower.trainable_parameters == 0 ? " frozen" : "");
    }
    text = model_->name + ", " + detail::in_millions(parameters(false)) + " parameters" +
           (towers.empty() ? "" : " (" + towers + ")");
  }
  row("model", text);
  if (!weights_.name.empty()) row("weights", weights_.name);
  const auto own_gflops = gflops_per_step();
  double teacher_gflops = 0.0;
  for (const auto& teacher : teachers_) teacher_gflops += teacher.forward_gflops.value_or(0.0);
  for (const auto& teacher : teachers_) {
    text = teacher.name + ", ";
    const bool is_stored = teacher.stored_texts || teacher.stored_views > 0;
    if (teacher.parameters > 0 || !is_stored)
      text += detail::in_millions(teacher.parameters) + " parameters, ";
    if (teacher.stored_texts) text += "stored texts, ";
    if (teacher.stored_views > 0)
      text += std::to_string(teacher.stored_views) + " stored " +
              (teacher.stored_views == 1 ? "view" : "views") + " per image, ";
    text += as_percent(teacher.weight, 0) + " of the loss";
    if (teacher.feature_weight > 0.0)
      text += ", features with weight " + with_digits(teacher.feature_weight, 4);
    if (own_gflops && teacher.forward_gflops)
      text += ", " + as_percent(*teacher.forward_gflops / (*own_gflops + teacher_gflops), 0) +
              " of the computation of a step";
    if (!teacher.precision.empty() && precision_ && teacher.precision != precision_->name)
      text += ", " + teacher.precision;
    if (teacher.own_image_size)
      text += ", images of " + std::to_string(*teacher.own_image_size) + " pixels";
    if (teacher.own_text_context)
      text += ", texts of " + std::to_string(*teacher.own_text_context) + " tokens";
    row("teacher", text);
  }
  if (model_ && model_->text_context)
    row("text", with_commas(*model_->text_context) + " tokens per text");

  text.clear();
  if (data_) {
    const auto steps = steps_per_epoch();
    const auto dropped = data_->drops_last_batch && steps ? data_->samples % data_->batch_size : 0;
    text = with_commas(data_->samples) + " samples in " + with_commas(steps.value_or(0)) +
           " steps of " + with_commas(data_->batch_size) + " per epoch" +
           (dropped > 0 ? ", " + with_commas(dropped) + " left over" : "");
  }
  row("data", text);
  text.clear();
  if (total) {
    text = with_commas(*total) + " steps";
    if (const auto samples = total_samples()) text += ", " + with_commas(*samples) + " samples";
    if (const auto passes = epochs()) text += ", " + with_decimals(*passes, 2) + " epochs";
  }
  row("length", text);
  for (const auto& [name, value] : phase_rows()) row(name, value);
  if (ranks() > 1) row("ranks", with_commas(ranks()));

  text.clear();
  if (schedule_) {
    const auto peak = std::max<std::int64_t>(schedule_->warmup_steps, 1);
    text = schedule_->name.empty() ? "" : schedule_->name + ", ";
    const auto at = " at step " + with_commas(total ? std::min(peak, *total) : peak);
    // With phases, the schedule and the factors of the phases are multiplied.
    text += schedule_->highest_lr > 0.0 ? with_digits(highest_lr(), 4) + at +
                                              " before the factors of the phases, highest " +
                                              with_digits(schedule_->highest_lr, 4)
                                        : "highest " + with_digits(highest_lr(), 4) + at;
  }
  row("learning rate", text);
  if (schedule_)
    row("warm-up",
        with_commas(schedule_->warmup_steps) + " steps" +
            (total ? ", " + as_percent(detail::fraction_of(schedule_->warmup_steps, *total)) +
                         " of the run"
                   : ""));
  if (schedule_ && schedule_->cooldown_steps > 0)
    row("cooldown", with_commas(schedule_->cooldown_steps) + " steps");
  text.clear();
  if (optimizer_) {
    text = optimizer_->name;
    if (optimizer_->beta2) text += ", beta2 " + with_digits(*optimizer_->beta2, 4);
    if (optimizer_->beta2 && *optimizer_->beta2 == beta2_for_batch(kLargeBatch, 1.0) && data_ &&
        data_->batch_size >= kLargeBatch)
      text += ", as for all batches from " + with_commas(kLargeBatch) + " samples on";
    if (optimizer_->shards_state && ranks() > 1) text += ", state sharded over the ranks";
  }
  row("optimizer", text);
  row("precision", precision_ ? precision_->name : "");
  if (step_) {
    const bool whole = step_->chunks == StepFacts::Chunks::kWholeBatch;
    text = step_->name.empty() || (whole && step_->name == "whole batch") ? "" : step_->name + ", ";
    if (step_->chunks == StepFacts::Chunks::kMeasured)
      text += "chunks as large as fit, measured at the first step";
    else if (step_->chunks == StepFacts::Chunks::kFixed)
      text += "chunks of " + with_commas(step_->chunk_size) + " samples";
    else
      text += "the whole batch at once";
    if (model_ && model_->checkpoints_activations) text += ", activations checkpointed";
    row("step", text);
  } else {
    row("step", "");
  }

  const auto needs = memory();
  const bool measured = step_ && step_->chunks == StepFacts::Chunks::kMeasured;
  row("memory",
      "weights " + detail::bytes_or_unknown(needs.weights) + ", gradients " +
          detail::bytes_or_unknown(needs.gradients) + ", optimizer " +
          detail::bytes_or_unknown(needs.optimizer) + ", activations " +
          (measured ? "measured at the first step" : detail::bytes_or_unknown(needs.activations)));
  if (average_.bytes > 0) rows.emplace_back("", "averaged weights " + as_bytes(average_.bytes));
  for (const auto& teacher : teachers_)
    if (teacher.bytes > 0) rows.emplace_back("", "teacher " + as_bytes(teacher.bytes));
  for (const auto& part : other_memory_)
    rows.emplace_back("", part.name + " " + as_bytes(part.bytes));
  rows.emplace_back(
      "", (needs.complete() ? "about " : "at least ") + as_bytes(needs.total()) + " per device" +
              (device_.free_bytes > 0 ? " of " + as_bytes(device_.free_bytes) + " free" : ""));

  text.clear();
  constexpr double kGiB = 1024.0 * 1024 * 1024;
  for (const int size : {40, 80, 141}) {
    auto samples = largest_chunk(size * kGiB);
    if (!samples) continue;
    // The estimate is not exact enough for more digits.
    if (*samples >= 16) *samples -= *samples % 8;
    text += (text.empty() ? "an estimate: " : ", ") + with_commas(*samples) +
            (text.empty() ? " samples on a GPU of " : " of ") + std::to_string(size) + " GB";
  }
  const bool has_whole_batch = step_ && !has_chunks();
  row(has_whole_batch ? "largest batch" : "largest chunk",
      text + (has_whole_batch && ranks() > 1 && !text.empty() ? ", per rank" : ""));

  text.clear();
  if (model_ && model_->forward_gflops) {
    text = with_digits(*model_->forward_gflops, 4) + " GFLOP per sample forward";
    const auto forward = forward_gflops_of_run();
    if (const auto forwards = forwards_per_step(); forwards && forward)
      text += ", " +
              with_digits(1e-6 * (*forward * static_cast<double>(*forwards) +
                                  teacher_gflops * static_cast<double>(*total_samples())),
                          3) +
              " PFLOP in all with backward" + (teachers_.empty() ? "" : " and teacher");
  }
  row("compute", text);

  std::string table = "Run plan";
  for (const auto& [name, value] : rows)
    table += "\n  " + name + std::string(15 - name.size(), ' ') + value;
  return table;
}

}  // namespace contrapunto
