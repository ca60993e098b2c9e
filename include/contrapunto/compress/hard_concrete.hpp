// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>

#include <cmath>

namespace contrapunto {

/// The hard-concrete distribution of a gate: a relaxed Bernoulli variable, stretched beyond [0, 1]
/// and clipped, so that it is 0 or 1 with a positive probability and differentiable in between.
/// Functions map tensors of any shape element by element. `log_alpha` is the location; a large one
/// keeps the gate open.
/// Reference: Louizos et al. 2018, https://arxiv.org/abs/1712.01312
struct HardConcrete {
  double temperature = 2.0 / 3.0;
  double low = -0.1;   ///< Lower end of the stretched interval, below 0.
  double high = 1.1;   ///< Upper end, above 1.
  double edge = 1e-6;  ///< Probabilities are kept this far from 0 and 1.

  /// A gate and its derivative by `log_alpha`.
  struct Sample {
    at::Tensor gate;   ///< In [0, 1].
    at::Tensor slope;  ///< 0 where the gate is clipped.
  };

  /// Returns the gates for uniform random numbers `uniform` in [0, 1].
  [[nodiscard]] Sample sample(const at::Tensor& log_alpha, const at::Tensor& uniform) const {
    const auto u = uniform.clamp(edge, 1.0 - edge);
    const auto s = ((u.log() - (-u).log1p() + log_alpha) / temperature).sigmoid();
    const auto stretched = s * (high - low) + low;
    const auto inside = stretched.gt(0.0).logical_and(stretched.lt(1.0));
    return {stretched.clamp(0.0, 1.0), s * (1.0 - s) * ((high - low) / temperature) * inside};
  }

  /// Returns the probability that a gate is not 0.
  [[nodiscard]] at::Tensor open_probability(const at::Tensor& log_alpha) const {
    return (log_alpha - temperature * std::log(-low / high)).sigmoid().clamp(edge, 1.0 - edge);
  }

  /// Returns the derivative of open_probability() by `log_alpha`.
  [[nodiscard]] at::Tensor open_probability_slope(const at::Tensor& log_alpha) const {
    const auto p = open_probability(log_alpha);
    return p * (1.0 - p);
  }

  /// Returns the value of a gate that is kept in evaluation, in (0, 1): sigmoid(0.8 log_alpha /
  /// temperature), as in CoFi (Xia et al. 2022, https://arxiv.org/abs/2204.00408) and TinyCLIP.
  [[nodiscard]] at::Tensor kept_value(const at::Tensor& log_alpha) const {
    return (log_alpha * (0.8 / temperature)).sigmoid();
  }
};

}  // namespace contrapunto
