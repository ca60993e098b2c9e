// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/log/data_times.hpp"

namespace contrapunto {

/// Returns the seconds since some fixed moment, from a monotonic clock.
[[nodiscard]] inline double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Measures samples per second and the fraction of time spent waiting for data, window by window.
/// Hold a `pause()` during evaluation and checkpoints to exclude their time. It is not thread-safe.
class ThroughputMeter {
 public:
  /// The measurements of a window.
  struct Window {
    double samples_per_second = 0.0;  ///< 0 if no time has passed.
    double data_wait_fraction = 0.0;  ///< Fraction of the time outside pauses, 0 to 1.
    DataTimes data = {};              ///< What the loader did in this time, or in a pause.
    double seconds = 0.0;             ///< Duration without pauses.

    /// The numbers that StepRecord::add() takes.
    [[nodiscard]] std::vector<std::pair<std::string, double>> values() const {
      std::vector<std::pair<std::string, double>> values = {
          {"samples_per_second", samples_per_second}, {"data_wait_fraction", data_wait_fraction}};
      const double work = data.read + data.decode + data.transform + data.tokenize;
      if (work > 0)
        values.insert(values.end(), {{"data_read_fraction", data.read / work},
                                     {"data_decode_fraction", data.decode / work},
                                     {"data_transform_fraction", data.transform / work},
                                     {"data_tokenize_fraction", data.tokenize / work}});
      return values;
    }
  };

  /// Excludes its own lifetime from the measured time.
  class Pause {
   public:
    explicit Pause(ThroughputMeter& meter) : meter_(meter), begin_(meter.clock_()) {}
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;
    ~Pause() { meter_.paused_ += meter_.clock_() - begin_; }

   private:
    ThroughputMeter& meter_;
    double begin_;
  };

  /// `clock` returns seconds and must be monotonic. The first window begins now.
  explicit ThroughputMeter(std::function<double()> clock = steady_seconds)
      : clock_(std::move(clock)), begin_(clock_()) {}
  ThroughputMeter(const ThroughputMeter&) = delete;
  ThroughputMeter& operator=(const ThroughputMeter&) = delete;

  /// Adds the samples of a completed step.
  void add(std::int64_t samples) { samples_ += samples; }

  /// Returns an object to hold during work that is not training.
  [[nodiscard]] Pause pause() { return Pause(*this); }

  /// Ends the window and begins the next one. `data` are the times of the loader since its
  /// creation, LoaderStatistics::times. Do not call it during a pause.
  Window next_window(const DataTimes& data = {}) {
    const double now = clock_();
    Window window;
    window.seconds = now - begin_ - paused_;
    window.data = data;
    window.data -= data_;
    if (window.seconds > 0) {
      window.samples_per_second = static_cast<double>(samples_) / window.seconds;
      window.data_wait_fraction = window.data.wait / window.seconds;
    }
    data_ = data;
    begin_ = now;
    samples_ = 0;
    paused_ = 0;
    return window;
  }

 private:
  std::function<double()> clock_;
  double begin_;
  double paused_ = 0.0;
  DataTimes data_;  // At the end of the last window.
  std::int64_t samples_ = 0;
};

}  // namespace contrapunto
