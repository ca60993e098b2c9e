// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "contrapunto/core/step_record.hpp"

namespace contrapunto {

/// The evaluations of one run, in the order of their steps.
struct EvaluationSeries {
  std::string name = {};
  /// Each record has a value "epoch" and usually "samples", beside the measured values. The step is
  /// 0 if it is not known, as for published figures.
  std::vector<StepRecord> records = {};

  /// Returns the names of the measured values, in the order of their first appearance.
  [[nodiscard]] std::vector<std::string> value_names() const {
    std::vector<std::string> names;
    for (const auto& record : records)
      for (const auto& [value_name, _] : record.values)
        if (value_name != "epoch" && value_name != "samples" &&
            std::find(names.begin(), names.end(), value_name) == names.end())
          names.push_back(value_name);
    return names;
  }
};

}  // namespace contrapunto
