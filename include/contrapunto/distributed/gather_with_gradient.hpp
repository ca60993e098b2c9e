// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "contrapunto/autograd/custom_gradient.hpp"
#include "contrapunto/distributed/gather_rows.hpp"
#include "contrapunto/distributed/ranks.hpp"

namespace contrapunto {

/// Works like `gather_rows`, but the returned `rows` are a differentiable function of `tensor`
/// [b_r, ...] of every rank. The backward sums the gradient of each row over the ranks and returns
/// it to the rank that owns the row. The backward is collective too, so all ranks must record and
/// run the same graph. Raises as `gather_rows` does.
[[nodiscard]] inline GatheredRows gather_with_gradient(const Ranks& ranks,
                                                       const at::Tensor& tensor) {
  auto gathered = gather_rows(ranks, tensor);
  if (ranks.size() == 1) {
    if (at::GradMode::is_enabled()) gathered.rows = tensor;
    return gathered;
  }
  const auto longest = *std::max_element(gathered.sizes.begin(), gathered.sizes.end());
  auto gradient = [ranks, longest, sizes = gathered.sizes, shape = gathered.rows.sizes().vec(),
                   options = gathered.rows.options()](
                      const std::vector<at::Tensor>&,
                      const std::vector<at::Tensor>& gradients) -> std::vector<at::Tensor> {
    auto rows_shape = shape;
    rows_shape.front() = longest;
    rows_shape.insert(rows_shape.begin(), ranks.size());
    auto rows = at::zeros(rows_shape, options);  // [W, longest, ...]
    std::int64_t begin = 0;
    for (std::size_t r = 0; r < sizes.size(); begin += sizes[r++])
      if (gradients[0].defined())
        rows[static_cast<std::int64_t>(r)]
            .narrow(0, 0, sizes[r])
            .copy_(gradients[0].narrow(0, begin, sizes[r]));
    const auto own = sizes[static_cast<std::size_t>(ranks.rank())];
    return {ranks.reduce_scatter_sum(rows).narrow(0, 0, own)};
  };
  gathered.rows = with_gradient({tensor}, {gathered.rows}, std::move(gradient)).front();
  return gathered;
}

}  // namespace contrapunto
