// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <chrono>
#include <cmath>
#include <sstream>

#include "contrapunto/data/detail/reading_clock.hpp"
#include "contrapunto/data/loader_options.hpp"
#include "contrapunto/data/sample_source.hpp"

namespace contrapunto::detail {

/// Reports that a loader has had no batch for `seconds`; see LoaderOptions::on_stall.
inline void report_stall(const LoaderOptions& options, double seconds, const ReadingClock& clock,
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
  if (options.on_stall)
    options.on_stall(text.str());
  else
    TORCH_WARN("DataLoader: ", text.str());
}

}  // namespace contrapunto::detail
