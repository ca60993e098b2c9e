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

enum class SpanUnit { kSteps, kSamples, kEpochs, kShare };

/// A length of training in the unit that the user thinks in, as of a warm-up.
struct Span {
  double value = 0.0;                ///< At least 0; of kShare between 0 and 1.
  SpanUnit unit = SpanUnit::kSteps;  ///< Optimiser steps, pairs, passes, or share of the run.
};

namespace detail {

[[nodiscard]] inline std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

}  // namespace detail

/// Reads "2000", "2000 steps", "1.5 epochs", "1000000 samples" (also "1e6 samples") or "5%"; a
/// number alone counts steps, and the singular of a unit is understood. Raises for anything else,
/// for a negative number, for a part of a step or sample and for more than 100%.
[[nodiscard]] inline Span parse_span(std::string_view text) {
  constexpr std::string_view forms =
      "; write for example 2000, 2000 steps, 1.5 epochs, 1000000 samples or 5%";
  const auto words = detail::trimmed(text);
  Span span;
  const auto [rest, error] = std::from_chars(words.data(), words.data() + words.size(), span.value);
  TORCH_CHECK(error == std::errc{}, "parse_span: \"", text, "\" does not start with a number",
              forms);
  TORCH_CHECK(std::isfinite(span.value) && span.value >= 0.0 && span.value < 1e15, "parse_span: \"",
              text, "\" is not a length of training: ", span.value, " is negative or too large");
  const auto unit = detail::trimmed(words.substr(static_cast<std::size_t>(rest - words.data())));
  if (unit.empty() || unit == "steps" || unit == "step") {
    span.unit = SpanUnit::kSteps;
  } else if (unit == "samples" || unit == "sample") {
    span.unit = SpanUnit::kSamples;
  } else if (unit == "epochs" || unit == "epoch") {
    span.unit = SpanUnit::kEpochs;
  } else if (unit == "%") {
    span.unit = SpanUnit::kShare;
    span.value /= 100.0;
  } else {
    TORCH_CHECK(false, "parse_span: \"", text, "\" has the unknown unit \"", unit, "\"", forms);
  }
  const bool counted = span.unit == SpanUnit::kSteps || span.unit == SpanUnit::kSamples;
  TORCH_CHECK(!counted || span.value == std::floor(span.value), "parse_span: \"", text,
              "\" asks for a part of a ", span.unit == SpanUnit::kSteps ? "step" : "sample", forms);
  TORCH_CHECK(span.unit != SpanUnit::kShare || span.value <= 1.0, "parse_span: \"", text,
              "\" is more than the whole run (100%)");
  return span;
}

/// The span as parse_span reads it, such as "1.5 epochs".
[[nodiscard]] inline std::string to_string(const Span& span) {
  std::ostringstream out;
  out.precision(15);
  switch (span.unit) {
    case SpanUnit::kSteps:
      out << span.value << " steps";
      break;
    case SpanUnit::kSamples:
      out << span.value << " samples";
      break;
    case SpanUnit::kEpochs:
      out << span.value << " epochs";
      break;
    case SpanUnit::kShare:
      out << span.value * 100.0 << "%";
      break;
  }
  return out.str();
}

/// Optimiser steps in `span`, to the nearest. A span above 0 has at least one step: a warm-up that
/// was asked for is never rounded away. One epoch is `run.steps_per_epoch()`, so whole epochs come
/// out exact. Raises when `run` lacks what the unit needs.
[[nodiscard]] inline std::int64_t resolve_steps(const Span& span, const RunLength& run) {
  TORCH_CHECK(std::isfinite(span.value) && span.value >= 0.0, "resolve_steps: a span of ",
              span.value, " is not a length of training");
  double steps = span.value;
  switch (span.unit) {
    case SpanUnit::kSteps:
      break;
    case SpanUnit::kSamples:
      TORCH_CHECK(run.batch_size > 0, "resolve_steps: ", to_string(span),
                  " need a batch_size above 0, it is ", run.batch_size);
      steps /= static_cast<double>(run.batch_size);
      break;
    case SpanUnit::kEpochs:
      steps *= static_cast<double>(run.steps_per_epoch());
      break;
    case SpanUnit::kShare:
      TORCH_CHECK(run.total_steps > 0, "resolve_steps: ", to_string(span),
                  " of the run need total_steps above 0, it is ", run.total_steps);
      TORCH_CHECK(span.value <= 1.0, "resolve_steps: ", to_string(span), " is more than the run");
      steps *= static_cast<double>(run.total_steps);
      break;
  }
  TORCH_CHECK(steps < 1e15, "resolve_steps: ", to_string(span), " are ", steps, " steps");
  return span.value > 0.0 ? std::max<std::int64_t>(1, std::llround(steps)) : 0;
}

}  // namespace contrapunto
