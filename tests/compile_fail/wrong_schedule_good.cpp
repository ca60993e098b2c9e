// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/plan/learning_rate_curve.hpp"

struct InverseSteps {
  double operator()(std::int64_t step) const { return 1.0 / static_cast<double>(step + 1); }
};

int main() {
  static_cast<void>(contrapunto::learning_rate_curve(InverseSteps{}, 10));
  double (*constant)(std::int64_t) = [](std::int64_t) { return 1e-3; };
  static_cast<void>(contrapunto::learning_rate_curve(constant, 10));
}
