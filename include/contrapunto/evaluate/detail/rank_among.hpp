// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>

namespace contrapunto::detail {

/// Counts how many entries of each row of `scores` [R, C] rank before the entry with value `own`
/// [R, 1] at column `column` [R, 1]: larger entries, and equal entries further left. Returns int64
/// [R]. Sorting and topk would leave the order of equal entries to the device. A NaN counts as
/// larger than any number, and if `own` is NaN, all other entries count as larger, so that a broken
/// model does not look perfect.
inline at::Tensor rank_among(const at::Tensor& scores, const at::Tensor& own,
                             const at::Tensor& column) {
  const auto columns = at::arange(scores.size(1), column.options());
  const auto larger = scores.le(own).logical_not_();
  return larger.logical_or_(scores.eq(own).logical_and_(columns.lt(column))).sum(1);
}

}  // namespace contrapunto::detail
