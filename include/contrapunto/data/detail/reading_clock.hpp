// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <mutex>
#include <optional>

namespace contrapunto::detail {

/// Knows which samples are being read, and since when, so that a read that hangs can be named.
class ReadingClock {
 public:
  using Clock = std::chrono::steady_clock;
  struct Reading {
    std::int64_t index = 0;
    Clock::time_point since;
  };

  /// The reading of one sample or run, from its creation to its end.
  class Scope {
   public:
    Scope(ReadingClock& clock, std::int64_t index) : clock_(clock) {
      const std::lock_guard lock(clock_.mutex_);
      entry_ = clock_.readings_.insert(clock_.readings_.end(), {index, Clock::now()});
    }
    ~Scope() {
      const std::lock_guard lock(clock_.mutex_);
      clock_.readings_.erase(entry_);
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    ReadingClock& clock_;
    std::list<Reading>::iterator entry_;
  };

  /// Counts as reading the sample `index`, or a run that begins with it, while the result lives.
  [[nodiscard]] Scope reading(std::int64_t index) { return {*this, index}; }

  /// Returns the reading that began first, if there is any.
  [[nodiscard]] std::optional<Reading> oldest() const {
    const std::lock_guard lock(mutex_);
    if (readings_.empty()) return std::nullopt;
    return readings_.front();
  }

 private:
  mutable std::mutex mutex_;
  std::list<Reading> readings_;  // In the order in which they began.
};

}  // namespace contrapunto::detail
