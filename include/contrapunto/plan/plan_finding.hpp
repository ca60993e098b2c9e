// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace contrapunto {

/// Something about a run that its owner should know before the first step.
struct PlanFinding {
  enum class Severity {
    kError,    ///< The run cannot do what was asked for; do not start it unless forced.
    kWarning,  ///< It can, but something else was probably meant.
  };

  Severity severity = Severity::kWarning;
  std::string message = {};  ///< What is wrong, with numbers, and what to change to what.
};

}  // namespace contrapunto
