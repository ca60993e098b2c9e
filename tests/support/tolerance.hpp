// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "support/catch.hpp"

namespace contrapunto::test {

/// How far a result may be from its oracle, relative to the oracle's largest magnitude. All tests
/// share this table.
inline double tolerance(at::ScalarType dtype) {
  switch (dtype) {
    case at::kDouble:
      return 1e-12;
    case at::kFloat:
      return 1e-6;
    case at::kHalf:
      return 2e-3;
    case at::kBFloat16:
      return 1.6e-2;
    default:
      return 0.0;
  }
}

/// Largest |result - expected| over the largest |expected|, in float64; NaN anywhere gives NaN.
inline double relative_error(const at::Tensor& result, const at::Tensor& expected) {
  const auto r = result.detach().to(at::kCPU, at::kDouble);
  const auto e = expected.detach().to(at::kCPU, at::kDouble);
  if (e.numel() == 0) return 0.0;
  const double largest = e.abs().max().item<double>();
  const double difference = (r - e).abs().max().item<double>();
  return largest > 0.0 ? difference / largest : difference;
}

/// True when `result` has the shape of `expected` and is within the table's tolerance (times
/// `factor`) of it.
inline bool close(const at::Tensor& result, const at::Tensor& expected, double factor = 1.0) {
  return result.sizes() == expected.sizes() &&
         relative_error(result, expected) <= factor * tolerance(result.scalar_type());
}

}  // namespace contrapunto::test
