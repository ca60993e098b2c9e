// expect: Schedule must be callable as `double schedule(std::int64_t step) const`
// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/plan/learning_rate_curve.hpp"

// It counts steps itself, so it is not const, and a run could not resume from the step alone.
struct CountingSchedule {
  double operator()(std::int64_t) { return 1.0 / static_cast<double>(++calls); }
  int calls = 0;
};

int main() {
  static_cast<void>(contrapunto::learning_rate_curve(CountingSchedule{}, 10));
}
