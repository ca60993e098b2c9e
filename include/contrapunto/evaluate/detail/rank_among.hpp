// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>

namespace contrapunto::detail {

/// How many entries of each row of `scores` [R, C] come before the one with value `own` [R, 1] at
/// column `column` [R, 1]: larger ones, and equal ones further left. Gives int64 [R]. Sorting and
/// topk would leave the order of equals to the device. A NaN counts as larger than anything, and
/// where `own` is NaN all count as larger: a broken model must not look perfect.
inline at::Tensor rank_among(const at::Tensor& scores, const at::Tensor& own,
                             const at::Tensor& column) {
  const auto columns = at::arange(scores.size(1), column.options());
  const auto larger = scores.le(own).logical_not_();
  return larger.logical_or_(scores.eq(own).logical_and_(columns.lt(column))).sum(1);
}

}  // namespace contrapunto::detail
