// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_upsample_bicubic2d_aa.h>
#include <ATen/ops/arange.h>
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

/// Returns fixed positions of a plane of `rows` x `columns` tokens, [rows * columns, width]: the
/// sines and cosines of the column, then those of the row, at width / 4 rates from 1 down to 1 /
/// `temperature`. Raises unless `width` is a multiple of 4 and at least 8.
/// Reference: Beyer et al. 2022, https://arxiv.org/abs/2205.01580
[[nodiscard]] inline at::Tensor sincos_positions(std::int64_t rows, std::int64_t columns,
                                                 std::int64_t width,
                                                 const at::TensorOptions& options = {},
                                                 double temperature = 10'000.0) {
  TORCH_CHECK(width % 4 == 0 && width >= 8, "sincos_positions: width (", width,
              ") must be a multiple of 4 and at least 8");
  const auto exponent = at::arange(width / 4, options) / static_cast<double>(width / 4 - 1);
  const auto rates = (exponent * -std::log(temperature)).exp();
  const auto cell = at::arange(rows * columns, options.dtype(at::kLong));
  const auto row = cell.div(columns, "floor").to(rates.dtype()).unsqueeze(1) * rates;
  const auto column = cell.remainder(columns).to(rates.dtype()).unsqueeze(1) * rates;
  return at::cat({column.sin(), column.cos(), row.sin(), row.cos()}, 1);
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
