// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "contrapunto/schedule/duration.hpp"
#include "contrapunto/schedule/phase_request.hpp"
#include "contrapunto/schedule/run_length.hpp"
#include "contrapunto/schedule/run_phase.hpp"

namespace contrapunto {

namespace detail {

/// Returns the number of samples after which a phase ends, counted over all passes.
[[nodiscard]] inline double phase_end(const Duration& until, double epochs, double samples) {
  TORCH_CHECK(until.unit != DurationUnit::kSteps, "with_phases: a phase until ", to_string(until),
              " depends on the batch sizes before it; write samples, epochs or %");
  if (until.unit == DurationUnit::kSamples) return until.value;
  return until.value * samples * (until.unit == DurationUnit::kFraction ? epochs : 1.0);
}

}  // namespace detail

/// Returns `run` with the phases of `requests`, in their order, and a last one with the values of
/// `run` and `own`, of `epochs` passes in all. A phase ends where its next batch would begin at or
/// behind its end. A pass ends with its last full batch, and a phase may begin within a pass. The
/// learning rates of `requests` are divided by `peak_lr`. Without requests there are no phases, and
/// only the number of steps is set. Raises if a phase would have no step, and if a batch is larger
/// than the data set.
[[nodiscard]] inline RunLength with_phases(RunLength run, double epochs,
                                           const std::vector<PhaseRequest>& requests,
                                           const RunPhase& own, double peak_lr) {
  run.phases.clear();
  if (requests.empty()) {
    run.total_steps = to_steps({epochs, DurationUnit::kEpochs}, run);
    return run;
  }
  static_cast<void>(run.steps_per_epoch());  // Raises if it is unknown.
  const auto size = run.dataset_samples;
  const auto samples = static_cast<double>(size);
  double previous_end = 0.0;
  std::int64_t step = 0, epoch = 0, used = 0;  // `used` samples of the epoch were read.
  for (std::size_t i = 0; i <= requests.size(); ++i) {
    const bool last = i == requests.size();
    RunPhase phase = own;
    phase.batch_size = run.batch_size;
    double end = epochs * samples;
    if (!last) {
      const PhaseRequest& request = requests[i];
      if (request.image_size > 0) phase.image_size = request.image_size;
      if (request.text_length > 0) phase.text_length = request.text_length;
      if (request.batch_size > 0) phase.batch_size = request.batch_size;
      if (request.peak_lr > 0.0) {
        TORCH_CHECK(peak_lr > 0.0, "with_phases: phase ", i + 1,
                    " has a learning rate, but that of the run is ", peak_lr);
        phase.lr_factor = request.peak_lr / peak_lr;
      }
      end = detail::phase_end(request.until, epochs, samples);
    }
    TORCH_CHECK(end > previous_end,
                "with_phases: ", last ? std::string("the run") : "phase " + std::to_string(i + 1),
                " ends after ", end, " samples, and the phase before it after ", previous_end,
                "; a phase must end after the one before it, and before the end of the run");
    previous_end = end;
    TORCH_CHECK(phase.batch_size <= size, "with_phases: the data set (", size,
                " samples) does not fill one batch of phase ", i + 1, " (", phase.batch_size,
                "); lower the batch size");
    phase.first_step = step;
    const bool fits = used + phase.batch_size <= size;
    phase.first_epoch =
        static_cast<double>(epoch) + (fits ? static_cast<double>(used) / samples : 1.0);
    for (;;) {
      // The batches that begin before the end of the phase and fit into the pass.
      const auto batch = static_cast<double>(phase.batch_size);
      const double left = end - static_cast<double>(epoch) * samples - static_cast<double>(used);
      if (left <= 0.0) break;
      const auto until_end = static_cast<std::int64_t>(std::ceil(left / batch));
      const auto in_pass = (size - used) / phase.batch_size;
      step += std::min(until_end, in_pass);
      used += std::min(until_end, in_pass) * phase.batch_size;
      if (until_end <= in_pass) break;
      if (static_cast<double>(epoch + 1) * samples >= end) break;
      ++epoch;
      used = 0;
    }
    phase.steps = step - phase.first_step;
    TORCH_CHECK(phase.steps > 0, "with_phases: phase ", i + 1, ", until ", end,
                " samples, has no step; make it longer or its batch smaller");
    run.phases.push_back(phase);
  }
  run.total_steps = step;
  return run;
}

}  // namespace contrapunto
