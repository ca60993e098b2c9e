// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ostream>

#include "contrapunto/plan/run_plan.hpp"

namespace contrapunto {

/// Writes the plan and its findings to `out`. Returns whether the run may start. With `force`
/// findings that refuse the run become warnings.
[[nodiscard]] inline bool announce_plan(const RunPlan& plan, std::ostream& out, bool force) {
  out << plan.to_string() << "\n";
  bool may_start = true;
  for (const auto& finding : plan.findings()) {
    const bool refused = finding.severity == PlanFinding::Severity::kError && !force;
    may_start = may_start && !refused;
    out << (refused ? "  refused: " : "  warning: ") << finding.message << "\n";
  }
  out.flush();
  return may_start;
}

}  // namespace contrapunto
