// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include "contrapunto/core/random.hpp"

namespace contrapunto::detail {

/// Draws the logarithm of a number from the gamma distribution of shape `a` > 0 and scale 1.
/// Reference: Marsaglia and Tsang 2000, https://doi.org/10.1145/358407.358414
[[nodiscard]] inline double draw_log_gamma(double a, RandomStream& random) {
  // A shape below 1 is reached from the next one: G(a) = G(a + 1) U^(1 / a), which would underflow
  // without the logarithm.
  const double raised = a < 1.0 ? a + 1.0 : a;
  const double log_power = a < 1.0 ? std::log(1.0 - random.uniform()) / a : 0.0;
  const double d = raised - 1.0 / 3.0, c = 1.0 / std::sqrt(9.0 * d);
  for (;;) {
    const double x = random.normal();
    const double v = std::pow(1.0 + c * x, 3);
    const double u = 1.0 - random.uniform();
    if (v > 0.0 && std::log(u) < 0.5 * x * x + d - d * v + d * std::log(v))
      return std::log(d * v) + log_power;
  }
}

/// Draws from the symmetric beta distribution with both parameters `a` > 0; from 0 to 1.
[[nodiscard]] inline double draw_beta(double a, RandomStream& random) {
  const double first = draw_log_gamma(a, random), second = draw_log_gamma(a, random);
  return 1.0 / (1.0 + std::exp(second - first));
}

}  // namespace contrapunto::detail
