// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>

#include "contrapunto/schedule/run_length.hpp"

namespace contrapunto {

enum class DurationUnit { kSteps, kSamples, kEpochs, kFraction };

/// A length of training, such as that of a warm-up, in a unit of the user's choice.
struct Duration {
  double value = 0.0;  ///< At least 0; for kFraction at most 1.
  DurationUnit unit =
      DurationUnit::kSteps;  ///< Optimizer steps, pairs, epochs, or fraction of the run.
};

namespace detail {

[[nodiscard]] inline std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

}  // namespace detail

/// Parses "2000", "2000 steps", "1.5 epochs", "1000000 samples" (also "1e6 samples") or "5%". A
/// number without a unit counts steps, and the singular of a unit is accepted. Raises for anything
/// else, for a negative number, for a fraction of a step or sample and for more than 100%.
[[nodiscard]] inline Duration parse_duration(std::string_view text) {
  constexpr std::string_view forms =
      "; write for example 2000, 2000 steps, 1.5 epochs, 1000000 samples or 5%";
  const auto words = detail::trimmed(text);
  Duration span;
  const auto [rest, error] = std::from_chars(words.data(), words.data() + words.size(), span.value);
  TORCH_CHECK(error == std::errc{}, "parse_duration: \"", text, "\" does not start with a number",
              forms);
  TORCH_CHECK(std::isfinite(span.value) && span.value >= 0.0 && span.value < 1e15,
              "parse_duration: \"", text, "\" is not a length of training: ", span.value,
              " is negative or too large");
  const auto unit = detail::trimmed(words.substr(static_cast<std::size_t>(rest - words.data())));
  if (unit.empty() || unit == "steps" || unit == "step") {
    span.unit = DurationUnit::kSteps;
  } else if (unit == "samples" || unit == "sample") {
    span.unit = DurationUnit::kSamples;
  } else if (unit == "epochs" || unit == "epoch") {
    span.unit = DurationUnit::kEpochs;
  } else if (unit == "%") {
    span.unit = DurationUnit::kFraction;
    span.value /= 100.0;
  } else {
    TORCH_CHECK(false, "parse_duration: \"", text, "\" has the unknown unit \"", unit, "\"", forms);
  }
  const bool counted = span.unit == DurationUnit::kSteps || span.unit == DurationUnit::kSamples;
  TORCH_CHECK(!counted || span.value == std::floor(span.value), "parse_duration: \"", text,
              "\" asks for a fraction of a ", span.unit == DurationUnit::kSteps ? "step" : "sample",
              forms);
  TORCH_CHECK(span.unit != DurationUnit::kFraction || span.value <= 1.0, "parse_duration: \"", text,
              "\" is more than the whole run (100%)");
  return span;
}

/// Formats the span as parse_duration reads it, such as "1.5 epochs".
[[nodiscard]] inline std::string to_string(const Duration& span) {
  std::ostringstream out;
  out.precision(15);
  switch (span.unit) {
    case DurationUnit::kSteps:
      out << span.value << " steps";
      break;
    case DurationUnit::kSamples:
      out << span.value << " samples";
      break;
    case DurationUnit::kEpochs:
      out << span.value << " epochs";
      break;
    case DurationUnit::kFraction:
      out << span.value * 100.0 << "%";
      break;
  }
  return out.str();
}

/// Returns the optimizer steps in `span`, rounded to the nearest. A span above 0 has at least one
/// step, so that a requested warm-up is never rounded away. One epoch is `run.steps_per_epoch()`,
/// so whole epochs are exact. Raises if `run` lacks a value that the unit needs.
[[nodiscard]] inline std::int64_t to_steps(const Duration& span, const RunLength& run) {
  TORCH_CHECK(std::isfinite(span.value) && span.value >= 0.0, "to_steps: a span of ", span.value,
              " is not a length of training");
  double steps = span.value;
  switch (span.unit) {
    case DurationUnit::kSteps:
      break;
    case DurationUnit::kSamples:
      TORCH_CHECK(run.batch_size > 0, "to_steps: ", to_string(span),
                  " need a batch_size above 0, but it is ", run.batch_size);
      steps /= static_cast<double>(run.batch_size);
      break;
    case DurationUnit::kEpochs:
      steps *= static_cast<double>(run.steps_per_epoch());
      break;
    case DurationUnit::kFraction:
      TORCH_CHECK(run.total_steps > 0, "to_steps: ", to_string(span),
                  " of the run need total_steps above 0, but it is ", run.total_steps);
      TORCH_CHECK(span.value <= 1.0, "to_steps: ", to_string(span), " is more than the run");
      steps *= static_cast<double>(run.total_steps);
      break;
  }
  TORCH_CHECK(steps < 1e15, "to_steps: ", to_string(span), " are ", steps, " steps");
  return span.value > 0.0 ? std::max<std::int64_t>(1, std::llround(steps)) : 0;
}

}  // namespace contrapunto
