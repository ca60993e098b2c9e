// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/log/format.hpp"
#include "contrapunto/plan/plan_finding.hpp"

namespace contrapunto {

namespace detail {

/// 151277313 as "151.3 M".
inline std::string in_millions(std::int64_t count) {
  return with_decimals(static_cast<double>(count) / 1e6, 1) + " M";
}

/// `part` of `whole` as a number between 0 and 1; 0 of nothing.
inline double fraction_of(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0.0;
}

inline bool mentions(std::string text, std::string_view word) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text.find(word) != std::string::npos;
}

}  // namespace detail

/// What a run is going to do, from plain numbers. Fill in what is known, print `to_string()`, and
/// look at `findings()` before the first step and before building the schedule.
struct RunPlan {
  std::string model{};                ///< Name of the configuration.
  std::int64_t image_parameters = 0;  ///< Of the image tower (x).
  std::int64_t text_parameters = 0;   ///< Of the text tower (y).
  double forward_gflops = 0.0;        ///< Per pair, forward, a multiply-add as two; 0: unknown.
  std::int64_t text_context = 0;      ///< Tokens per text at most; 0 where there is no text.

  std::int64_t dataset_samples = 0;  ///< Pairs in one epoch.
  std::int64_t batch_size = 0;       ///< Pairs per optimiser step, over all ranks.
  std::int64_t total_steps = 0;      ///< Optimiser steps.
  bool drops_last_batch = true;      ///< Epochs end with the last full batch.

  std::string schedule{};         ///< Name of the learning rate schedule.
  double peak_lr = 0.0;           ///< Learning rate at the end of warm-up.
  std::int64_t warmup_steps = 0;  ///< Optimiser steps of linear warm-up.
  double beta2 = 0.98;            ///< AdamW's decay of squared gradients.

  std::string precision{};                   ///< Name of the policy.
  double weight_bytes = 4.0;                 ///< Per parameter, working copies included.
  double gradient_bytes = 4.0;               ///< Per parameter.
  double optimizer_bytes = 8.0;              ///< Per parameter: moments, masters, averages.
  double activation_bytes_per_sample = 0.0;  ///< Kept for backward without checkpoints; 0: unknown.
  std::int64_t samples_in_flight = 0;        ///< Whose activations one device keeps at once.
  std::int64_t cached_chunk_size = 0;        ///< Samples in a chunk of GradCache; 0: no chunks.
  bool checkpoints_activations = false;      ///< Blocks run again in backward to keep less.
  double free_memory_bytes = 0.0;            ///< Of one device; 0: unknown.

  std::string weights{};                     ///< File or name of initial weights; empty for none.
  bool quick_gelu = false;                   ///< The model's activation is QuickGELU, not GELU.
  std::optional<bool> weights_quick_gelu{};  ///< What the weights were trained with, where known.

  /// Full batches in an epoch, and the partial one where it is kept.
  [[nodiscard]] std::int64_t steps_per_epoch() const {
    if (batch_size < 1) return 0;
    return (dataset_samples + (drops_last_batch ? 0 : batch_size - 1)) / batch_size;
  }

  /// Passes over the data, fractional; 0 while an epoch has no step.
  [[nodiscard]] double epochs() const {
    return detail::fraction_of(total_steps, steps_per_epoch());
  }

  /// Samples whose activations one device keeps at once, chunks considered.
  [[nodiscard]] std::int64_t samples_kept() const {
    return cached_chunk_size > 0 ? std::min(cached_chunk_size, samples_in_flight)
                                 : samples_in_flight;
  }

  /// Computation of a step in units of a forward: backward is two, GradCache and checkpoints of
  /// activations repeat the forward once each.
  [[nodiscard]] std::int64_t forwards_per_step() const {
    return 3 + (cached_chunk_size > 0 ? 1 : 0) + (checkpoints_activations ? 1 : 0);
  }

  /// Bytes on one device for weights, gradients, optimiser and activations. With checkpoints the
  /// activations need less than this says.
  [[nodiscard]] std::array<double, 4> memory_bytes() const {
    const auto parameters = static_cast<double>(image_parameters + text_parameters);
    return {parameters * weight_bytes, parameters * gradient_bytes, parameters * optimizer_bytes,
            activation_bytes_per_sample * static_cast<double>(samples_kept())};
  }

  /// A table for people, without a newline at its end.
  [[nodiscard]] std::string to_string() const;

  /// What is wrong with the run, the worst first; empty when nothing is.
  [[nodiscard]] std::vector<PlanFinding> findings() const;

 private:
  [[nodiscard]] double lr_reached() const {
    return warmup_steps <= total_steps ? peak_lr
                                       : peak_lr * detail::fraction_of(total_steps, warmup_steps);
  }

  /// What the weights were trained with, as far as their name tells.
  [[nodiscard]] std::optional<bool> weights_activation() const {
    if (weights_quick_gelu) return weights_quick_gelu;
    if (detail::mentions(weights, "quickgelu") || detail::mentions(weights, "openai")) return true;
    if (detail::mentions(weights, "laion2b")) return false;
    return std::nullopt;
  }
};

inline std::string RunPlan::to_string() const {
  const auto dropped = drops_last_batch && batch_size > 0 ? dataset_samples % batch_size : 0;
  const auto memory = memory_bytes();
  double needed = 0;
  for (const double part : memory) needed += part;
  std::vector<std::pair<std::string, std::string>> rows;
  rows.emplace_back("model", model + ", " +
                                 detail::in_millions(image_parameters + text_parameters) +
                                 " parameters (image " + detail::in_millions(image_parameters) +
                                 ", text " + detail::in_millions(text_parameters) + ")");
  if (!weights.empty()) rows.emplace_back("weights", weights);
  if (text_context > 0) rows.emplace_back("text", with_commas(text_context) + " tokens per text");
  rows.emplace_back("data", with_commas(dataset_samples) + " samples in " +
                                with_commas(steps_per_epoch()) + " steps of " +
                                with_commas(batch_size) + " per epoch" +
                                (dropped > 0 ? ", " + with_commas(dropped) + " left over" : ""));
  rows.emplace_back("length", with_commas(total_steps) + " steps, " +
                                  with_commas(total_steps * batch_size) + " samples, " +
                                  with_decimals(epochs(), 2) + " epochs");
  rows.emplace_back(
      "learning rate",
      (schedule.empty() ? "" : schedule + ", ") + "highest " + with_digits(lr_reached(), 4) +
          " at step " +
          with_commas(std::min(std::max<std::int64_t>(warmup_steps, 1), total_steps)));
  rows.emplace_back("warm-up", with_commas(warmup_steps) + " steps, " +
                                   as_percent(detail::fraction_of(warmup_steps, total_steps)) +
                                   " of the run");
  if (!precision.empty()) rows.emplace_back("precision", precision);
  rows.emplace_back("memory", "weights " + as_bytes(memory[0]) + ", gradients " +
                                  as_bytes(memory[1]) + ", optimiser " + as_bytes(memory[2]) +
                                  ", activations " +
                                  (memory[3] > 0 ? as_bytes(memory[3]) : "unknown"));
  if (cached_chunk_size > 0)
    rows.emplace_back("", "towers in chunks of " + with_commas(cached_chunk_size) + " samples");
  if (checkpoints_activations)
    rows.emplace_back("", "activations are checkpointed and take less than that");
  rows.emplace_back(
      "", std::string(checkpoints_activations ? "at most " : "about ") + as_bytes(needed) +
              " per device" +
              (free_memory_bytes > 0 ? " of " + as_bytes(free_memory_bytes) + " free" : ""));
  if (forward_gflops > 0)
    rows.emplace_back("compute", with_digits(forward_gflops, 4) + " GFLOP per pair forward, " +
                                     with_digits(1e-6 * forward_gflops *
                                                     static_cast<double>(forwards_per_step() *
                                                                         total_steps * batch_size),
                                                 3) +
                                     " PFLOP in all with backward");
  std::string text = "Run plan";
  for (const auto& [name, value] : rows)
    text += "\n  " + name + std::string(15 - name.size(), ' ') + value;
  return text;
}

inline std::vector<PlanFinding> RunPlan::findings() const {
  std::vector<PlanFinding> refusals, warnings;
  const auto refuse = [&](const std::string& message) {
    refusals.push_back({PlanFinding::Severity::kError, message});
  };
  const auto warn = [&](const std::string& message) {
    warnings.push_back({PlanFinding::Severity::kWarning, message});
  };
  const auto steps_and_epochs = [&](std::int64_t steps) {
    const double passes = detail::fraction_of(steps, steps_per_epoch());
    return with_commas(steps) + " steps" +
           (passes > 0 ? " (" + with_decimals(passes, 1) + " epochs)" : "");
  };
  const auto five_percent = std::max<std::int64_t>(total_steps / 20, 0);
  const auto set_warmup = "set --warmup to " + with_commas(five_percent) + " (5 %)";

  if (dataset_samples < 1) refuse("the data set is empty; check the path given with --data");
  if (batch_size < 1)
    refuse("the batch size is " + with_commas(batch_size) + "; set --batch-size to at least 2");
  if (total_steps < 1)
    refuse("the run has " + with_commas(total_steps) + " steps; set --epochs or --steps");
  if (!(peak_lr > 0) || !std::isfinite(peak_lr))
    refuse("the peak learning rate is " + with_digits(peak_lr, 4) + "; set --lr above 0");
  if (batch_size > dataset_samples && dataset_samples > 0)
    refuse("the batch of " + with_commas(batch_size) + " is larger than the data set of " +
           with_commas(dataset_samples) +
           " samples, so no batch is ever full; set --batch-size to " +
           with_commas(dataset_samples) + " or less");
  if (total_steps > 0 && warmup_steps >= total_steps)
    refuse("warm-up takes " + with_commas(warmup_steps) + " steps but the run has only " +
           with_commas(total_steps) + ", so " +
           (warmup_steps > total_steps
                ? "the peak learning rate " + with_digits(peak_lr, 4) +
                      " is never reached (it ends at " + with_digits(lr_reached(), 2) + ")"
                : "the learning rate never comes down from its peak") +
           "; " + set_warmup + " or train for at least " + steps_and_epochs(5 * warmup_steps));
  else if (total_steps > 0 && detail::fraction_of(warmup_steps, total_steps) > 0.2)
    warn("warm-up takes " + with_commas(warmup_steps) + " of " + with_commas(total_steps) +
         " steps, " + as_percent(detail::fraction_of(warmup_steps, total_steps), 0) +
         " of the run; " + set_warmup + " or train for at least " +
         steps_and_epochs(5 * warmup_steps));

  if (const auto theirs = weights_activation(); !weights.empty() && theirs && *theirs != quick_gelu)
    refuse("the weights '" + weights + "' were trained with " + (*theirs ? "QuickGELU" : "GELU") +
           " but the model " + model + " uses " + (quick_gelu ? "QuickGELU" : "GELU") +
           "; they would load without an error and be much worse. Choose the model " +
           (*theirs ? "with" : "without") + " QuickGELU (OpenCLIP's names end in -quickgelu)");

  const auto dropped = drops_last_batch && batch_size > 0 && dataset_samples >= batch_size
                           ? dataset_samples % batch_size
                           : 0;
  if (detail::fraction_of(dropped, dataset_samples) > 0.1)
    warn("the last, partial batch of each epoch is dropped: " + with_commas(dropped) + " of " +
         with_commas(dataset_samples) + " samples, " +
         as_percent(detail::fraction_of(dropped, dataset_samples), 0) + "; set --batch-size to " +
         with_commas(dataset_samples / (dataset_samples / batch_size + 1)) + " to use nearly all");
  const auto memory = memory_bytes();
  const double fixed = memory[0] + memory[1] + memory[2];
  const double needed = fixed + memory[3];
  if (checkpoints_activations && cached_chunk_size > 0)
    warn(
        "activations are checkpointed inside the chunks of GradCache, which costs five forwards a "
        "step instead of four; switch the checkpoints off and shrink the chunk of " +
        with_commas(cached_chunk_size) + " samples instead");
  else if (checkpoints_activations && memory[3] > 0 && needed <= 0.9 * free_memory_bytes)
    warn("activations are checkpointed, which costs four forwards a step instead of three, but " +
         as_bytes(needed) + " are enough without that and " + as_bytes(free_memory_bytes) +
         " are free; switch the checkpoints off");
  // How much less checkpoints need is not known here, so only what they cannot lower is judged.
  const double least = checkpoints_activations ? fixed : needed;
  if (free_memory_bytes > 0 && least > free_memory_bytes) {
    auto message = "the run needs about " + as_bytes(least) + " per device but " +
                   as_bytes(free_memory_bytes) + " are free; ";
    // A tenth is left for workspaces and fragments.
    const double fit = activation_bytes_per_sample > 0
                           ? (0.9 * free_memory_bytes - fixed) / activation_bytes_per_sample
                           : 0;
    if (fit >= 1)
      message += "run the towers in chunks of " + with_commas(static_cast<std::int64_t>(fit)) +
                 " instead of " + with_commas(samples_kept()) + " samples";
    else
      message += "weights, gradients and optimiser alone take " + as_bytes(fixed) +
                 ", so choose a smaller model or a precision with fewer bytes";
    warn(message);
  }
  if (total_steps > 0 && total_steps < 1000 && beta2 >= 0.999)
    warn("AdamW's beta2 of " + with_digits(beta2, 4) + " averages over about " +
         with_commas(std::llround(1 / std::max(1 - beta2, 1e-9))) + " steps, more than the run's " +
         with_commas(total_steps) + "; set --beta2 to 0.98");
  refusals.insert(refusals.end(), warnings.begin(), warnings.end());
  return refusals;
}

}  // namespace contrapunto
