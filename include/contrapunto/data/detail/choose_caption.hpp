// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "contrapunto/core/random.hpp"

namespace contrapunto::detail {

/// Draws one of `captions` captions (at least one), with probabilities in proportion to `weights`,
/// or with equal ones if `weights` is empty or adds up to 0.
[[nodiscard]] inline std::int64_t choose_caption(std::size_t captions,
                                                 const std::vector<double>& weights,
                                                 RandomStream& random) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  if (sum <= 0) return random.integer(static_cast<std::int64_t>(captions));
  double left = random.uniform() * sum;
  std::size_t last = 0;  // The last caption that may be drawn, should rounding leave a rest.
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] <= 0) continue;
    last = i;
    if (left < weights[i]) break;
    left -= weights[i];
  }
  return static_cast<std::int64_t>(last);
}

/// Raises unless `weights` is empty or has a weight from 0 on for each of `fields`, not all of them
/// 0. `user` begins the message.
inline void check_caption_weights(const char* user, const std::vector<std::string>& fields,
                                  const std::vector<double>& weights) {
  if (weights.empty()) return;
  TORCH_CHECK(weights.size() == fields.size(), user, ": there are ", weights.size(),
              " caption weights for ", fields.size(), " caption fields; give one for each");
  double sum = 0.0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    TORCH_CHECK(weights[i] >= 0, user, ": the weight of the captions '", fields[i], "' is ",
                weights[i], "; weights must not be negative");
    sum += weights[i];
  }
  TORCH_CHECK(sum > 0, user, ": all caption weights are 0");
}

}  // namespace contrapunto::detail
