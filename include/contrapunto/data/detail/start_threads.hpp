// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstddef>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

namespace contrapunto::detail {

/// Starts `count` threads of a DataLoader that run `work`. If the system refuses one, calls `stop`,
/// which must end and join those that run, and raises.
template <class Work, class Stop>
void start_threads(std::vector<std::thread>& threads, std::int64_t count, const Work& work,
                   const Stop& stop) {
  try {
    for (std::int64_t i = 0; i < count; ++i) threads.emplace_back(work);
  } catch (const std::system_error& error) {
    const std::size_t started = threads.size();
    stop();
    TORCH_CHECK(false, "DataLoader: the system started only ", started, " of ", count, " threads (",
                error.what(),
                "); lower LoaderOptions::threads, or raise the limit on processes (ulimit -u, or "
                "pids.max of the container) or on memory (ulimit -v)");
  }
}

}  // namespace contrapunto::detail
