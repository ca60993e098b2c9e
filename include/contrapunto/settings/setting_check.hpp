// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <functional>
#include <string>

#include "contrapunto/settings/detail/setting_text.hpp"

namespace contrapunto {

/// Which numbers a setting may have.
struct SettingCheck {
  std::function<bool(double)> accepts = {};
  std::string allowed = {};  ///< The same in words, after "must be": "at least 2".
};

/// Numbers from `lowest` on.
[[nodiscard]] inline SettingCheck at_least(double lowest) {
  return {[lowest](double value) { return value >= lowest; },
          "at least " + detail::number_text(lowest)};
}

/// Numbers above `limit`, which is excluded.
[[nodiscard]] inline SettingCheck above(double limit) {
  return {[limit](double value) { return value > limit; }, "above " + detail::number_text(limit)};
}

/// Numbers below `limit`, which is excluded.
[[nodiscard]] inline SettingCheck below(double limit) {
  return {[limit](double value) { return value < limit; }, "below " + detail::number_text(limit)};
}

/// Numbers from `lowest` to `highest`; both are included. Raises when `lowest` is the larger one.
[[nodiscard]] inline SettingCheck in_range(double lowest, double highest) {
  TORCH_CHECK(lowest <= highest, "in_range: the lowest value ", lowest, " is above the highest, ",
              highest);
  return {[=](double value) { return lowest <= value && value <= highest; },
          "from " + detail::number_text(lowest) + " to " + detail::number_text(highest)};
}

}  // namespace contrapunto
