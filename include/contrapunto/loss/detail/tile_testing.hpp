// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace contrapunto::detail {

/// What the library's own tests change about tiles; nobody else has a reason to.
struct TileTesting {
  /// Bound on |logit| up to which a row or column cannot underflow; above it the sums are looked
  /// at, for which the host waits.
  double safe_bound = 80.0;
  /// Computes on the CPU what CUDA would, rounding included; it only costs time.
  bool emulate_cuda_rounding = false;
};

}  // namespace contrapunto::detail
