// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cmath>
#include <sstream>
#include <string>

#include "contrapunto/data/detail/reading_clock.hpp"
#include "contrapunto/data/sample_source.hpp"

namespace contrapunto::detail {

/// Returns the report of a loader that has had no batch for `seconds`.
[[nodiscard]] inline std::string describe_stall(double seconds, const ReadingClock& clock,
                                                const SampleSource& source) {
  std::ostringstream text;
  text << "no batch for " << std::llround(seconds) << " s: ";
  if (const auto oldest = clock.oldest()) {
    const std::chrono::duration<double> since = ReadingClock::Clock::now() - oldest->since;
    text << "reading " << source.location(oldest->index) << " has taken "
         << std::llround(since.count())
         << " s so far; check the disk, the network file system or the command it comes from";
  } else {
    text << "nothing is being read; the threads decode, transform or tokenize";
  }
  return text.str();
}

}  // namespace contrapunto::detail
