// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/roll.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>

#include "contrapunto/nn/token_grid.hpp"

namespace contrapunto::detail {

/// How the plane of a grid is cut into windows. Planes that the windows do not divide are padded at
/// the bottom and on the right. A window that spans the plane is not shifted.
struct WindowLayout {
  WindowLayout(const TokenGrid& token_grid, std::int64_t side, bool shifted)
      : grid(token_grid),
        rows(std::min(side, grid.rows)),
        columns(std::min(side, grid.columns)),
        down((grid.rows + rows - 1) / rows),
        across((grid.columns + columns - 1) / columns),
        row_shift(shifted && down > 1 ? rows / 2 : 0),
        column_shift(shifted && across > 1 ? columns / 2 : 0) {}

  [[nodiscard]] std::int64_t count() const { return down * across; }
  [[nodiscard]] std::int64_t tokens() const { return rows * columns; }
  [[nodiscard]] bool shifts() const { return row_shift > 0 || column_shift > 0; }
  [[nodiscard]] bool pads() const {
    return down * rows != grid.rows || across * columns != grid.columns;
  }

  /// Cuts `plane` [B, rows, columns, H, D] of the grid into [B, count, H, tokens, D].
  [[nodiscard]] at::Tensor cut(at::Tensor plane) const {
    if (pads())
      plane = at::constant_pad_nd(
          plane, {0, 0, 0, 0, 0, across * columns - grid.columns, 0, down * rows - grid.rows});
    if (shifts()) plane = at::roll(plane, {-row_shift, -column_shift}, {1, 2});
    const auto heads = plane.size(3), width = plane.size(4);
    return plane.reshape({plane.size(0), down, rows, across, columns, heads, width})
        .permute({0, 1, 3, 5, 2, 4, 6})
        .reshape({plane.size(0), count(), heads, tokens(), width});
  }

  /// The inverse of cut(); returns [B, rows, columns, H, D] of the grid.
  [[nodiscard]] at::Tensor join(const at::Tensor& windows) const {
    const auto batch = windows.size(0), heads = windows.size(2), width = windows.size(4);
    auto plane = windows.reshape({batch, down, across, heads, rows, columns, width})
                     .permute({0, 1, 4, 2, 5, 3, 6})
                     .reshape({batch, down * rows, across * columns, heads, width});
    if (shifts()) plane = at::roll(plane, {row_shift, column_shift}, {1, 2});
    return pads() ? plane.narrow(1, 0, grid.rows).narrow(2, 0, grid.columns) : plane;
  }

  /// Returns which keys of its window each query attends to, bool [count, 1, tokens, tokens]. With
  /// shifted windows, tokens that meet only because the plane wraps around do not attend to each
  /// other. Padding attends to everything, so that no row is empty, and nothing attends to it.
  [[nodiscard]] at::Tensor mask(const at::Device& device) const {
    const auto options = at::TensorOptions(at::kLong).device(device);
    const auto place = [&](std::int64_t size, std::int64_t shift) {
      return (at::arange(size, options) + shift).remainder(size);  // Of each token after the roll.
    };
    const auto row = place(down * rows, row_shift), column = place(across * columns, column_shift);
    // One number for each region of the plane; padding is -1.
    const auto region = ((row < row_shift).to(at::kLong) * 2).unsqueeze(1) +
                        (column < column_shift).to(at::kLong).unsqueeze(0);
    const auto real =
        (row < grid.rows).unsqueeze(1).logical_and((column < grid.columns).unsqueeze(0));
    const auto of_window = at::Tensor(region.masked_fill(real.logical_not(), -1))
                               .view({down, rows, across, columns})
                               .permute({0, 2, 1, 3})
                               .reshape({count(), 1, tokens()});
    const auto queries = of_window.unsqueeze(3), keys = of_window.unsqueeze(2);
    return (queries == keys)
        .logical_or(queries < 0)
        .logical_and((keys >= 0).logical_or(queries < 0));
  }

  TokenGrid grid;
  std::int64_t rows, columns;  // Of a window.
  std::int64_t down, across;   // Number of windows.
  std::int64_t row_shift, column_shift;
};

/// Attention within the windows of `layout`. Queries, keys and values are [B, L, H, D]; returns
/// [B, L, H, D]. `bias` [H, P + tokens, P + tokens] is added to the scores of a window of P prefix
/// tokens and its own; all windows share it. Memory is linear in L.
inline at::Tensor attend_windows(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                 const WindowLayout& layout,
                                 const std::optional<at::Tensor>& bias) {
  const auto& grid = layout.grid;
  const auto batch = q.size(0), heads = q.size(2), width = q.size(3);
  const auto prefix = grid.prefix, patches = grid.rows * grid.columns;
  const auto windows = layout.count(), tokens = layout.tokens();
  const auto plane = [&](const at::Tensor& x) {
    return x.narrow(1, prefix, patches).reshape({batch, grid.rows, grid.columns, heads, width});
  };
  // The windows of an image are further heads, so that one mask serves the whole batch.
  const auto folded = [&](const at::Tensor& x) {
    return x.reshape({batch, windows * heads, x.size(3), width});
  };
  const auto with_prefix = [&](const at::Tensor& x) {
    const auto cut = layout.cut(plane(x));
    if (prefix == 0) return folded(cut);
    const auto shared = x.narrow(1, 0, prefix).transpose(1, 2).unsqueeze(1);
    return folded(at::cat({shared.expand({batch, windows, heads, prefix, width}), cut}, 3));
  };

  std::optional<at::Tensor> scores;  // Bias and mask, [1, windows * heads, tokens, P + tokens].
  std::optional<at::Tensor> allowed;
  if (layout.shifts() || layout.pads()) {
    allowed = layout.mask(q.device());
    if (prefix > 0)
      allowed = at::cat({at::ones({windows, 1, tokens, prefix}, allowed->options()), *allowed}, 3);
  }
  if (bias) {
    scores = bias->narrow(1, prefix, tokens).to(q.scalar_type()).unsqueeze(0);
    if (allowed)
      scores = at::Tensor(scores->expand({windows, heads, tokens, prefix + tokens}))
                   .masked_fill(allowed->logical_not(), -std::numeric_limits<double>::infinity());
  } else if (allowed) {
    scores = allowed;
  }
  if (scores)
    scores = scores->expand({windows, heads, tokens, prefix + tokens})
                 .reshape({1, windows * heads, tokens, prefix + tokens});

  const auto inside = at::scaled_dot_product_attention(folded(layout.cut(plane(q))), with_prefix(k),
                                                       with_prefix(v), scores);
  const auto joined = layout.join(inside.view({batch, windows, heads, tokens, width}))
                          .reshape({batch, patches, heads, width});
  if (prefix == 0) return joined;
  std::optional<at::Tensor> prefix_bias;
  if (bias) {
    const auto rows = bias->narrow(1, 0, prefix).to(q.scalar_type());
    // A prefix token has the same bias to all patches.
    prefix_bias = at::cat({rows.narrow(2, 0, prefix),
                           rows.narrow(2, prefix, 1).expand({heads, prefix, patches})},
                          2)
                      .unsqueeze(0);
  }
  const auto outside = at::scaled_dot_product_attention(
      q.narrow(1, 0, prefix).transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), prefix_bias);
  return at::cat({outside.transpose(1, 2), joined}, 1);
}

}  // namespace contrapunto::detail
