// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/log/format.hpp"
#include "contrapunto/optim/beta2_for_batch.hpp"
#include "contrapunto/plan/detail/plan_numbers.hpp"
#include "contrapunto/plan/run_plan.hpp"

/// RunPlan: the checks for problems of a run.
namespace contrapunto {

namespace detail {

[[nodiscard]] inline bool mentions(std::string text, std::string_view word) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text.find(word) != std::string::npos;
}

/// Returns whether the weights were trained with QuickGELU, as far as their facts or name tell.
[[nodiscard]] inline std::optional<bool> trained_with_quick_gelu(const WeightsFacts& weights) {
  if (weights.quick_gelu) return weights.quick_gelu;
  if (mentions(weights.name, "quickgelu") || mentions(weights.name, "openai")) return true;
  if (mentions(weights.name, "laion2b")) return false;
  return std::nullopt;
}

inline void add_error(std::vector<PlanFinding>& found, std::string message) {
  found.push_back({PlanFinding::Severity::kError, std::move(message)});
}

inline void add_warning(std::vector<PlanFinding>& found, std::string message) {
  found.push_back({PlanFinding::Severity::kWarning, std::move(message)});
}

/// A decay with which next to nothing of the initial weights is left after `steps` steps: 1 - 10 /
/// steps, rounded down to as many decimals as the number of steps has digits.
[[nodiscard]] inline std::string decay_for(std::int64_t steps) {
  const auto digits = static_cast<int>(std::to_string(steps).size());
  const double unit = std::pow(10.0, digits);
  const double decay = 1.0 - 10.0 / static_cast<double>(steps);
  return with_digits(std::max(0.0, std::floor(decay * unit) / unit), digits);
}

}  // namespace detail

inline std::vector<PlanFinding> RunPlan::findings() const {
  auto found = own_findings_;
  find_data_faults(found);
  find_schedule_faults(found);
  find_optimizer_faults(found);
  find_model_faults(found);
  find_memory_faults(found);
  std::vector<PlanFinding> errors_first;
  for (const auto severity : {PlanFinding::Severity::kError, PlanFinding::Severity::kWarning})
    std::copy_if(found.begin(), found.end(), std::back_inserter(errors_first),
                 [&](const PlanFinding& finding) { return finding.severity == severity; });
  return errors_first;
}

inline void RunPlan::find_data_faults(std::vector<PlanFinding>& found) const {
  if (!data_) return;
  const auto samples = data_->samples, batch = data_->batch_size;
  if (samples < 1) detail::add_error(found, "the data set is empty; check its path");
  if (batch < 1)
    detail::add_error(found,
                      "batch_size is " + with_commas(batch) + "; set batch_size to at least 2");
  if (batch == 1)
    detail::add_error(found,
                      "batch_size is 1, so no sample has a negative and a "
                      "contrastive loss cannot learn anything; set batch_size to at least 2");
  if (samples >= 1 && batch > samples)
    detail::add_error(found, "the batch of " + with_commas(batch) +
                                 " is larger than the data set of " + with_commas(samples) +
                                 " samples, so no batch is ever full; set batch_size to " +
                                 with_commas(samples) + " or less");
  if (!data_->drops_last_batch || batch < 1 || samples < batch) return;
  const auto dropped = samples % batch;
  if (detail::fraction_of(dropped, samples) > 0.1)
    detail::add_warning(
        found, "the last, partial batch of each epoch is dropped: " + with_commas(dropped) +
                   " of " + with_commas(samples) + " samples, " +
                   as_percent(detail::fraction_of(dropped, samples), 0) + "; set batch_size to " +
                   with_commas(samples / (samples / batch + 1)) + " to use nearly all");
}

inline void RunPlan::find_schedule_faults(std::vector<PlanFinding>& found) const {
  if (!schedule_) return;
  const auto warmup = schedule_->warmup_steps;
  if (!(schedule_->peak_lr > 0) || !std::isfinite(schedule_->peak_lr))
    detail::add_error(found,
                      "peak_lr is " + with_digits(schedule_->peak_lr, 4) + "; set peak_lr above 0");
  if (!schedule_->total_steps) return;
  const auto total = *schedule_->total_steps;
  if (total < 1) {
    detail::add_error(found, "the run has " + with_commas(total) + " steps; raise total_steps");
    return;
  }
  const auto steps_and_epochs = [&](std::int64_t steps) {
    const auto per_epoch = steps_per_epoch();
    return with_commas(steps) + " steps" +
           (per_epoch ? " (" + with_decimals(detail::fraction_of(steps, *per_epoch), 1) + " epochs)"
                      : "");
  };
  const auto remedy = "set warmup_steps to " + with_commas(total / 20) +
                      " (5 %) or train for at least " + steps_and_epochs(5 * warmup);
  if (warmup >= total)
    detail::add_error(
        found, "warm-up takes " + with_commas(warmup) + " steps but the run has only " +
                   with_commas(total) + ", so " +
                   (warmup > total
                        ? "the peak learning rate " + with_digits(schedule_->peak_lr, 4) +
                              " is never reached (it ends at " + with_digits(highest_lr(), 2) + ")"
                        : "the learning rate never comes down from its peak") +
                   "; " + remedy);
  else if (warmup + schedule_->cooldown_steps > total)
    detail::add_error(found, "warm-up and cooldown take " + with_commas(warmup) + " and " +
                                 with_commas(schedule_->cooldown_steps) +
                                 " steps but the run has only " + with_commas(total) +
                                 "; set cooldown_steps to " + with_commas(total / 5) + " (20 %)");
  else if (detail::fraction_of(warmup, total) > 0.2)
    detail::add_warning(
        found, "warm-up takes " + with_commas(warmup) + " of " + with_commas(total) + " steps, " +
                   as_percent(detail::fraction_of(warmup, total), 0) + " of the run; " + remedy);
  if (average_.decay)
    if (const double kept = std::pow(*average_.decay, static_cast<double>(total)); kept > 0.05)
      detail::add_warning(
          found, "the averaged weights still hold " + as_percent(kept, 0) +
                     " of the initial weights after " + with_commas(total) +
                     " steps, because each update keeps " + with_digits(*average_.decay, 6) +
                     " of the average; set the decay to " + detail::decay_for(total) + " or less");
  if (optimizer_ && optimizer_->beta2 && *optimizer_->beta2 >= 0.999 && total < 1000)
    detail::add_warning(
        found, optimizer_->name + "'s beta2 of " + with_digits(*optimizer_->beta2, 4) +
                   " averages over about " +
                   with_commas(std::llround(1 / std::max(1 - *optimizer_->beta2, 1e-9))) +
                   " steps, more than the run's " + with_commas(total) + "; set beta2 to 0.98");
}

inline void RunPlan::find_optimizer_faults(std::vector<PlanFinding>& found) const {
  if (!optimizer_ || !optimizer_->beta2 || !data_) return;
  if (data_->batch_size >= kLargeBatch && *optimizer_->beta2 >= 0.98)
    detail::add_warning(found, optimizer_->name + "'s beta2 of " +
                                   with_digits(*optimizer_->beta2, 4) + " with batches of " +
                                   with_commas(data_->batch_size) +
                                   " samples often makes the loss spike, because the mean of "
                                   "squared gradients follows them too slowly; set beta2 to 0.95");
}

inline void RunPlan::find_model_faults(std::vector<PlanFinding>& found) const {
  const auto check_activation = [&](const WeightsFacts& weights, const std::string& model,
                                    std::optional<bool> quick_gelu) {
    const auto theirs = detail::trained_with_quick_gelu(weights);
    if (weights.name.empty() || !theirs || !quick_gelu || *theirs == *quick_gelu) return;
    detail::add_error(
        found,
        "the weights '" + weights.name + "' were trained with " + (*theirs ? "QuickGELU" : "GELU") +
            " but the model " + model + " uses " + (*quick_gelu ? "QuickGELU" : "GELU") +
            "; they would load without an error but give much worse results. Choose the model " +
            (*theirs ? "with" : "without") + " QuickGELU (OpenCLIP's names end in -quickgelu)");
  };
  for (const auto& teacher : teachers_) {
    check_activation({.name = teacher.weights}, teacher.name, teacher.quick_gelu);
    if (teacher.weight == 0.0 && teacher.feature_weight == 0.0)
      detail::add_warning(found, "the teacher " + teacher.name +
                                     " runs in every step, but its weight in the loss is 0; leave "
                                     "it out, or set its weight");
  }
  if (!model_) return;
  check_activation(weights_, model_->name, model_->quick_gelu);
  if (ranks() > 1 && model_->has_local_batch_norm)
    detail::add_warning(found,
                        "batch norm uses the statistics of each rank's own samples, so the " +
                            with_commas(ranks()) +
                            " ranks do not compute what one process would, and their "
                            "running statistics differ; call synchronize_batch_norm()");
  if (has_chunks() && (model_->has_batch_norm || model_->has_local_batch_norm))
    detail::add_warning(found,
                        "batch norm uses the statistics of a chunk instead of the batch, so "
                        "gradients depend on the chunk size; freeze its statistics, or use the "
                        "whole batch at once with checkpointed activations");
}

inline void RunPlan::find_memory_faults(std::vector<PlanFinding>& found) const {
  const auto needs = memory();
  const double fixed = needs.without_activations();
  const double free = device_.free_bytes;
  const auto samples = samples_in_flight();
  const bool checkpoints = model_ && model_->checkpoints_activations;
  std::optional<double> bytes_per_sample;  // Without activation checkpointing.
  if (model_ && model_->activation_elements && precision_)
    bytes_per_sample = *model_->activation_elements * precision_->activation_bytes;

  if (checkpoints && step_ && step_->forward_passes > 1) {
    detail::add_warning(found,
                        "activations are checkpointed inside the chunks of a step that runs each "
                        "forward pass twice, which costs five forwards a step instead of four; "
                        "turn activation checkpointing off and use smaller chunks instead");
  } else if (checkpoints && bytes_per_sample && samples) {
    const double without = fixed + *bytes_per_sample * static_cast<double>(*samples);
    if (without <= 0.9 * free)
      detail::add_warning(found,
                          "activations are checkpointed, which costs four forwards a step instead "
                          "of three, but " +
                              as_bytes(without) + " are enough without it and " + as_bytes(free) +
                              " are free; turn activation checkpointing off");
  }
  if (free <= 0 || needs.total() <= free) return;
  auto message = "the run needs " + std::string(needs.complete() ? "about " : "at least ") +
                 as_bytes(needs.total()) + " per device but " + as_bytes(free) + " are free; ";
  const auto fit = largest_chunk(free);
  if (samples && fit && *fit >= 1)
    message += "run the towers in chunks of " + with_commas(*fit) + " instead of " +
               with_commas(*samples) + " samples";
  else
    message += "weights, gradients and optimizer alone take " + as_bytes(fixed) +
               ", so choose a smaller model, a precision with fewer bytes, or an optimizer that "
               "shards its state over ranks";
  detail::add_warning(found, message);
}

}  // namespace contrapunto
