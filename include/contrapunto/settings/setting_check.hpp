// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <functional>
#include <string>

#include "contrapunto/settings/detail/setting_text.hpp"

namespace contrapunto {

/// Which numbers a setting accepts.
struct SettingCheck {
  std::function<bool(double)> accepts = {};
  std::string allowed = {};  ///< The condition in words that follow "must be", such as "at least
                             ///< 2".
};

/// Accepts numbers that are at least `lowest`.
[[nodiscard]] inline SettingCheck at_least(double lowest) {
  return {[lowest](double value) { return value >= lowest; },
          "at least " + detail::number_text(lowest)};
}

/// Accepts numbers above `limit`, which is excluded.
[[nodiscard]] inline SettingCheck above(double limit) {
  return {[limit](double value) { return value > limit; }, "above " + detail::number_text(limit)};
}

/// Accepts numbers below `limit`, which is excluded.
[[nodiscard]] inline SettingCheck below(double limit) {
  return {[limit](double value) { return value < limit; }, "below " + detail::number_text(limit)};
}

/// Accepts numbers from `lowest` to `highest`, both included. Raises if `lowest` is the larger one.
[[nodiscard]] inline SettingCheck in_range(double lowest, double highest) {
  TORCH_CHECK(lowest <= highest, "in_range: the lowest value ", lowest, " is above the highest, ",
              highest);
  return {[=](double value) { return lowest <= value && value <= highest; },
          "from " + detail::number_text(lowest) + " to " + detail::number_text(highest)};
}

}  // namespace contrapunto
