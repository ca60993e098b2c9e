// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/data/data_report.hpp"

namespace contrapunto::detail {

/// Counts the samples that could not be used, each once, and raises if there are too many.
class SkipCounter {
 public:
  /// `samples` is the size of the source. For `max_fraction` see LoaderOptions.
  /// `user` begins the message.
  SkipCounter(std::int64_t samples, double max_fraction, std::string user = "DataLoader")
      : user_(std::move(user)),
        max_fraction_(max_fraction),
        samples_(static_cast<std::size_t>(samples)) {}

  [[nodiscard]] const DataReport& report() const { return report_; }

  void start_epoch() {
    if (tried_ >= kEnough) tried_ = failed_ = 0;
  }

  void add_used(std::int64_t samples) { tried_ += samples; }

  /// Records a failed attempt at sample `index`. Returns whether it is the first failure of this
  /// sample. Raises if more than the allowed fraction of attempts failed.
  bool add_failed(std::int64_t index, const std::string& reason) {
    ++tried_;
    ++failed_;
    if (is_known_.empty()) is_known_.resize(samples_);
    const auto i = static_cast<std::size_t>(index);
    const bool is_new = !is_known_[i];
    is_known_[i] = true;
    if (is_new) report_.add(reason);
    const auto judged = static_cast<double>(std::max(tried_, kEnough));
    if (static_cast<double>(failed_) > max_fraction_ * judged) raise();
    return is_new;
  }

 private:
  static constexpr std::int64_t kEnough = 300;

  [[noreturn]] void raise() const {
    std::string reasons;
    for (std::size_t i = 0; i < std::min<std::size_t>(report_.first.size(), 3); ++i)
      reasons += "\n  " + report_.first[i];
    TORCH_CHECK(false, user_, ": ", failed_, " of the last ", tried_,
                " samples tried could not be used (", report_.skipped,
                " different ones since the start), which is more than max_unusable_fraction (",
                max_fraction_, ") allows. The first reasons:", reasons,
                "\nRepair the data, remove it from the list, or raise max_unusable_fraction");
  }

  std::string user_;
  double max_fraction_;
  std::size_t samples_;
  std::int64_t tried_ = 0;   // Attempts since the last reset in start_epoch().
  std::int64_t failed_ = 0;  // The failed ones among them.
  std::vector<bool> is_known_;
  DataReport report_;
};

}  // namespace contrapunto::detail
