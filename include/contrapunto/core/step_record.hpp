// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/core/loss_terms.hpp"

namespace contrapunto {

/// The named numbers of one optimizer step, in the order in which they were added. Any part of a
/// trainer may add some. `notify()` passes the record to any number of sinks. The sinks of the
/// library know these names, and they show or plot all other numbers too:
///
///   samples              samples seen so far, over all ranks
///   epoch                passes over the data so far, fractional
///   loss, loss/NAME      the total, and the named parts of a loss that has some
///   lr                   learning rate of the step
///   scale                exp of the learned log-temperature, after the step
///   gradient_norm        global L2 norm before clipping
///   samples_per_second   over the last logging window, over all ranks
///   data_wait_fraction   fraction of that window spent waiting for data, 0 to 1
struct StepRecord {
  std::int64_t step = 0;  ///< Optimizer steps completed.
  std::vector<std::pair<std::string, double>> values = {};

  /// Appends a value. Raises if the record already has a value with this name.
  StepRecord& add(std::string name, double value) {
    TORCH_CHECK(!find(name), "StepRecord: step ", step, " already has a value '", name, "'");
    values.emplace_back(std::move(name), value);
    return *this;
  }

  /// Appends `loss` and, for each named part, `loss/NAME`. It synchronizes with the device.
  StepRecord& add(const LossTerms& terms) {
    add("loss", terms.total.item<double>());
    for (const auto& [name, value] : terms.parts) add("loss/" + name, value.item<double>());
    return *this;
  }

  /// Appends the named `values()` of a measurement, such as a window of a ThroughputMeter.
  template <class Measured>
  requires requires(const Measured& measured) { measured.values(); }
  StepRecord& add(const Measured& measured) {
    for (const auto& [name, value] : measured.values()) add(name, value);
    return *this;
  }

  /// Returns the value with this name, or nothing.
  [[nodiscard]] std::optional<double> find(std::string_view name) const {
    const auto found = std::find_if(values.begin(), values.end(),
                                    [&](const auto& value) { return value.first == name; });
    return found == values.end() ? std::nullopt : std::optional(found->second);
  }
};

/// Raises if the loss of `record` is NaN or infinite; the message names the step and the usual
/// remedies. Set `may_overflow` if a loss scaler is used, which skips such steps.
inline void check_loss_is_finite(const StepRecord& record, bool may_overflow = false) {
  const double loss = record.find("loss").value_or(0.0);
  TORCH_CHECK(
      std::isfinite(loss) || may_overflow, "the loss is ", loss, " at step ", record.step,
      "; lower the learning rate, lengthen the warm-up or use fp32, and resume from the last "
      "checkpoint");
}

/// A sink for records. It has `on_step(record)` for training steps, `on_evaluation(record)` for
/// evaluations, or both.
template <class S> concept RecordSink = requires(S& sink, const StepRecord& record) {
  sink.on_step(record);
}
|| requires(S& sink, const StepRecord& record) {
  sink.on_evaluation(record);
};

/// Passes the record of a training step to every sink that has `on_step`.
template <RecordSink... Sinks>
void notify(const StepRecord& record, Sinks&... sinks) {
  (
      [&] {
        if constexpr (requires { sinks.on_step(record); }) sinks.on_step(record);
      }(),
      ...);
}

/// Passes the results of an evaluation after `record.step` steps to every sink that has
/// `on_evaluation`.
template <RecordSink... Sinks>
void notify_evaluation(const StepRecord& record, Sinks&... sinks) {
  (
      [&] {
        if constexpr (requires { sinks.on_evaluation(record); }) sinks.on_evaluation(record);
      }(),
      ...);
}

}  // namespace contrapunto
