// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/_upsample_bicubic2d_aa.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/upsample_linear1d.h>
#include <c10/util/Exception.h>

#include <cmath>
#include <cstdint>

namespace contrapunto {

/// Resizes image position embeddings [prefix + old^2, D] to a grid of `grid` x `grid` patches, with
/// antialiased bicubic interpolation. The `prefix` rows of special tokens are kept. Raises if the
/// old grid is not square.
[[nodiscard]] inline at::Tensor resize_grid_positions(const at::Tensor& positions,
                                                      std::int64_t prefix, std::int64_t grid) {
  const auto cells = positions.size(0) - prefix;
  const auto old = static_cast<std::int64_t>(std::lround(std::sqrt(static_cast<double>(cells))));
  TORCH_CHECK(cells > 0 && old * old == cells, "resize_grid_positions: ", positions.sizes(),
              " less ", prefix, " special rows is not a square grid");
  if (old == grid) return positions;
  const auto map = positions.narrow(0, prefix, cells)
                       .to(at::kFloat)
                       .t()
                       .reshape({1, positions.size(1), old, old});
  const auto resized = at::_upsample_bicubic2d_aa(map, {grid, grid}, /*align_corners=*/false)
                           .reshape({positions.size(1), grid * grid})
                           .t()
                           .to(positions.scalar_type());
  return at::cat({positions.narrow(0, 0, prefix), resized}, 0);
}

/// Resizes text position embeddings [old, D] to `length` tokens by linear interpolation.
[[nodiscard]] inline at::Tensor resize_text_positions(const at::Tensor& positions,
                                                      std::int64_t length) {
  if (positions.size(0) == length) return positions;
  return at::upsample_linear1d(positions.to(at::kFloat).t().unsqueeze(0), {length},
                               /*align_corners=*/false)
      .squeeze(0)
      .t()
      .to(positions.scalar_type());
}

}  // namespace contrapunto
