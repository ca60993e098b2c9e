// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <charconv>
#include <cmath>
#include <cstdint>
#include <sstream>
#include <string>
#include <system_error>

#include "contrapunto/schedule/duration.hpp"

namespace contrapunto {

/// What a phase of a run changes. A value of 0 is that of the run.
struct PhaseRequest {
  Duration until = {};           ///< End of the phase, counted from the start of the run.
  std::int64_t image_size = 0;   ///< Side of the images in pixels.
  std::int64_t text_length = 0;  ///< Maximum number of tokens per text.
  std::int64_t batch_size = 0;   ///< Samples per optimizer step, over all ranks.
  double peak_lr = 0.0;          ///< Learning rate at the end of the warm-up.
};

/// Parses "until 80%: image-size 112 text-length 16 batch-size 8192 lr 1e-3", where any of the
/// names may be missing but not all. The end is a number of samples, epochs, or a part of the run;
/// see parse_duration. Raises for anything else, and for a number that is not positive.
[[nodiscard]] inline PhaseRequest parse_phase(const std::string& text) {
  constexpr const char* form =
      "; write for example 'until 80%: image-size 112 text-length 16 batch-size 8192 lr 1e-3'";
  const auto colon = text.find(':');
  TORCH_CHECK(text.starts_with("until ") && colon != std::string::npos, "parse_phase: \"", text,
              "\" does not begin with 'until ...:'", form);
  PhaseRequest phase{.until = parse_duration(text.substr(6, colon - 6))};
  TORCH_CHECK(phase.until.unit != DurationUnit::kSteps, "parse_phase: \"", text,
              "\" ends after a number of steps, which depends on the batch sizes; write samples, "
              "epochs or %");
  std::istringstream words(text.substr(colon + 1));
  std::string name, value;
  bool any = false;
  while (words >> name) {
    double number = 0.0;
    const bool given = static_cast<bool>(words >> value);
    const auto [rest, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    TORCH_CHECK(given && error == std::errc{} && rest == value.data() + value.size() &&
                    std::isfinite(number) && number > 0.0,
                "parse_phase: \"", text, "\" has no positive number after \"", name, "\"", form);
    if (name == "lr") {
      phase.peak_lr = number;
    } else {
      auto* const field = name == "image-size"    ? &phase.image_size
                          : name == "text-length" ? &phase.text_length
                          : name == "batch-size"  ? &phase.batch_size
                                                  : nullptr;
      TORCH_CHECK(field != nullptr, "parse_phase: \"", text, "\" has the unknown name \"", name,
                  "\"", form);
      TORCH_CHECK(number == std::floor(number) && number < 1e15, "parse_phase: \"", text,
                  "\" has the ", name, " ", value, ", which is not a whole number", form);
      *field = static_cast<std::int64_t>(number);
    }
    any = true;
  }
  TORCH_CHECK(any, "parse_phase: \"", text, "\" changes nothing", form);
  return phase;
}

}  // namespace contrapunto
