// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace contrapunto {

/// Where a run stands after an optimiser step; what progress lines and logs are made from.
struct StepState {
  std::int64_t step = 0;     ///< Optimiser steps done.
  std::int64_t samples = 0;  ///< Pairs seen, over all ranks.
  double epoch = 0.0;        ///< Passes over the data, fractional.
  double loss = 0.0;
  double lr = 0.0;                  ///< Learning rate that the step used.
  double scale = 0.0;               ///< exp(logit_scale) after the step.
  double gradient_norm = 0.0;       ///< Global L2 norm before clipping.
  double samples_per_second = 0.0;  ///< Over the last logging window.
  double data_wait_fraction = 0.0;  ///< Share of that window spent waiting for data, 0 to 1.
};

}  // namespace contrapunto
