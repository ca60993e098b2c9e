// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "contrapunto/distributed/ranks.hpp"

namespace contrapunto {

/// The rows of all ranks, in the order of the ranks.
struct GatheredRows {
  at::Tensor rows;  ///< [N, ...], where N is the sum of `sizes`; contiguous and detached.
  std::vector<std::int64_t> sizes;  ///< [W] Number of rows of each rank.
  std::int64_t offset = 0;          ///< Index of this rank's first row in `rows`.
};

/// Concatenates `tensor` [b_r, ...] of all ranks; b_r may differ between ranks and may be 0. Raises
/// if `tensor` has no dimensions, and on every rank if the rows of two ranks have different numbers
/// of elements. The dtype must be the same on all ranks. It costs one exchange of sizes, for which
/// the host waits. If the sizes differ, it also costs padding to the largest and a copy. With one
/// rank `rows` shares the memory of `tensor`.
[[nodiscard]] inline GatheredRows gather_rows(const Ranks& ranks, const at::Tensor& tensor) {
  TORCH_CHECK(tensor.dim() >= 1, "gather_rows: the tensor has no rows; its shape is []");
  const auto ours = tensor.detach();
  if (ranks.size() == 1) return {ours.contiguous(), {ours.size(0)}, 0};
  std::int64_t row_elements = 1;
  for (std::int64_t d = 1; d < ours.dim(); ++d) row_elements *= ours.size(d);
  auto shape = at::empty({2}, at::kLong);
  shape.data_ptr<std::int64_t>()[0] = ours.size(0);
  shape.data_ptr<std::int64_t>()[1] = row_elements;
  const auto shapes = ranks.all_gather(shape.to(ranks.device())).cpu();  // [W, 2]

  GatheredRows gathered;
  std::int64_t largest = 0;
  bool even = true;
  for (std::int64_t r = 0; r < ranks.size(); ++r) {
    const auto* numbers = shapes.data_ptr<std::int64_t>() + 2 * r;
    TORCH_CHECK(numbers[1] == shapes.data_ptr<std::int64_t>()[1],
                "gather_rows: rows differ: those of rank ", r, " have ", numbers[1],
                " elements, those of rank 0 ", shapes.data_ptr<std::int64_t>()[1]);
    if (r == ranks.rank())
      for (const auto size : gathered.sizes) gathered.offset += size;
    gathered.sizes.push_back(numbers[0]);
    largest = std::max(largest, numbers[0]);
    even = even && numbers[0] == gathered.sizes.front();
  }
  if (even) {
    gathered.rows = ranks.all_gather(ours).flatten(0, 1);
    return gathered;
  }

  auto padded_shape = ours.sizes().vec();
  padded_shape.front() = largest;
  auto padded = at::zeros(padded_shape, ours.options());
  padded.narrow(0, 0, ours.size(0)).copy_(ours);
  const auto all = ranks.all_gather(padded);  // [W, largest, ...]
  std::vector<at::Tensor> parts;
  for (std::int64_t r = 0; r < ranks.size(); ++r)
    parts.push_back(all[r].narrow(0, 0, gathered.sizes[static_cast<std::size_t>(r)]));
  gathered.rows = at::cat(parts);
  return gathered;
}

}  // namespace contrapunto
