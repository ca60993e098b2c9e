// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace contrapunto {

/// Something about a run that its owner should know before the first step.
struct PlanFinding {
  enum class Severity {
    kError,    ///< The run cannot do what was requested; it must not start unless forced.
    kWarning,  ///< The run can start, but probably something else was intended.
  };

  Severity severity = Severity::kWarning;
  std::string message = {};  ///< What is wrong, with numbers, and what to change to which value.
};

}  // namespace contrapunto
