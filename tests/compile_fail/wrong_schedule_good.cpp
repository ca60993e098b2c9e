// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/core/gates.hpp"

struct InverseSteps {
  double operator()(std::int64_t step) const { return 1.0 / static_cast<double>(step + 1); }
};

int main() {
  contrapunto::check_schedule<InverseSteps>();
  contrapunto::check_schedule<double (*)(std::int64_t)>();
}
