// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace contrapunto::detail {

/// Calls work(i) once for each i from 0 to count - 1, in `threads` threads that take the next i
/// when they are free. It is for work that waits for a disk or a network, so there may be more
/// threads than cores. After an exception no further i is begun, and it is rethrown when all
/// threads are done. Fewer threads are used if the system does not start as many.
template <class Work>
void in_parallel(std::int64_t count, std::int64_t threads, const Work& work) {
  std::atomic<std::int64_t> next{0};
  std::exception_ptr error;
  std::mutex mutex;
  const auto run = [&] {
    for (std::int64_t i = next++; i < count; i = next++) try {
        work(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!error) error = std::current_exception();
        next = count;
      }
  };
  std::vector<std::thread> others;
  try {
    for (std::int64_t i = 1; i < std::min(threads, count); ++i) others.emplace_back(run);
  } catch (const std::system_error&) {  // This thread and those that started do the work.
  }
  run();
  for (std::thread& thread : others) thread.join();
  if (error) std::rethrow_exception(error);
}

}  // namespace contrapunto::detail
