// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <utility>

namespace contrapunto {

/// Seconds since some fixed moment, from a clock that never jumps.
[[nodiscard]] inline double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Measures samples per second and the share of time lost to waiting for data, window by window.
/// Evaluation and checkpoints are left out by holding a `pause()`. For one thread.
class ThroughputMeter {
 public:
  /// What happened since the window began.
  struct Window {
    double samples_per_second = 0.0;  ///< 0 when no time has passed.
    double data_wait_fraction = 0.0;  ///< Of the time outside pauses, 0 to 1.
    double seconds = 0.0;             ///< Without pauses.
  };

  /// Adds the time that it lives to a counter; comes from `pause()` or `wait_for_data()`.
  class Span {
   public:
    Span(const std::function<double()>& clock, double& total)
        : clock_(clock), total_(total), begin_(clock()) {}
    Span(const Span&) = delete;
    Span& operator=(const Span&) = delete;
    ~Span() { total_ += clock_() - begin_; }

   private:
    const std::function<double()>& clock_;
    double& total_;
    double begin_;
  };

  /// `clock` returns seconds and never goes back. The first window begins now.
  explicit ThroughputMeter(std::function<double()> clock = steady_seconds)
      : clock_(std::move(clock)), begin_(clock_()) {}
  ThroughputMeter(const ThroughputMeter&) = delete;
  ThroughputMeter& operator=(const ThroughputMeter&) = delete;

  /// Counts samples of a finished step.
  void add(std::int64_t samples) { samples_ += samples; }

  /// Hold it while doing something that is not training.
  [[nodiscard]] Span pause() { return Span(clock_, paused_); }

  /// Hold it while asking the loader for a batch; not inside a pause.
  [[nodiscard]] Span wait_for_data() { return Span(clock_, waited_); }

  /// The window so far, and begins the next. Call it outside `pause` and `wait_for_data`.
  Window next_window() {
    const double now = clock_();
    Window window;
    window.seconds = now - begin_ - paused_;
    if (window.seconds > 0) {
      window.samples_per_second = static_cast<double>(samples_) / window.seconds;
      window.data_wait_fraction = waited_ / window.seconds;
    }
    begin_ = now;
    samples_ = 0;
    paused_ = 0;
    waited_ = 0;
    return window;
  }

 private:
  std::function<double()> clock_;
  double begin_;
  double paused_ = 0.0;
  double waited_ = 0.0;
  std::int64_t samples_ = 0;
};

}  // namespace contrapunto
