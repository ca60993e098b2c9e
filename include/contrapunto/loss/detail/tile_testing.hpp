// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace contrapunto::detail {

/// Settings that only the library's own tests change.
struct TileTesting {
  /// Bound on |logit| up to which the sum of a row or column cannot underflow. Above it the sums
  /// are checked, and the host waits for the result.
  double safe_bound = 80.0;
  /// Runs the CUDA formulation on the CPU, including its rounding. It only costs time.
  bool emulate_cuda_rounding = false;
};

}  // namespace contrapunto::detail
