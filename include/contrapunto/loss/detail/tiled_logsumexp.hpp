// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "contrapunto/autograd/custom_gradient.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/loss/detail/column_blocks.hpp"
#include "contrapunto/loss/detail/pair_sums.hpp"
#include "contrapunto/loss/detail/tiles.hpp"

namespace contrapunto::detail {

/// Weights of each row and column in the gradient of the logits.
struct GradientWeights {
  bool fixed = true;
  double offset = 0.0;
  // With `fixed`: dL/d(logarithm) divided by the sum. Otherwise: dL/d(logarithm), and the logarithm
  // itself.
  at::Tensor rows, log_rows;        // [n]
  at::Tensor columns, log_columns;  // [m]; undefined if columns have no gradient
};

/// Adds the gradients of a block: to `dx` [n, D] without the factor `scale`, and to `dy` [m, D]
/// with it. `dy` must start as zeros; if it is undefined, it is not computed. The positives have
/// weights near one while all others are small. Their gradients are therefore returned unrounded in
/// `at_positives` [n] and are added by the caller. With `upper` `dx` receives all gradients,
/// without the factor, and the weights of the columns are those of the rows. `magnitude` [], if
/// defined, is the divisor of the weights. This function multiplies `dy` by it; the caller
/// multiplies `dx` and `at_positives`.
inline void add_gradients(const at::Tensor& x, const at::Tensor& y, const at::Tensor& scale,
                          const PairBlock& block, const TileOptions& options, bool upper,
                          const GradientWeights& weights, const at::Tensor& magnitude,
                          KeptTiles* kept, at::Tensor& dx, at::Tensor& dy,
                          at::Tensor& at_positives) {
  GradientTiles gradients;
  for_each_tile(x, y, scale, block, options, upper, [&](Tile& tile) {
    auto& z = tile.products;
    auto g = gradients.of(tile);
    const auto of_rows = [&](const at::Tensor& values) {
      return values.narrow(0, tile.row, tile.rows);
    };
    const auto of_columns = [&](const at::Tensor& values) {
      return values.defined() ? values.narrow(0, tile.column, tile.columns) : at::Tensor();
    };
    at::Tensor positives;
    if (tile.pairs.positives > 0 && !block.drop_positive)
      positives = at_positives.narrow(0, tile.first, tile.pairs.positives);
    if (weights.fixed) {
      const auto exponentials = kept == nullptr ? at::Tensor() : kept->take();
      if (!exponentials.defined()) multiply(tile);
      gradient_tile_(z, exponentials, tile.scale, weights.offset, tile.pairs, of_rows(weights.rows),
                     of_columns(weights.columns), positives, g);
    } else {
      multiply(tile);
      to_logits_(z, tile.scale, tile.pairs);
      exclude_(z, tile.pairs, -std::numeric_limits<double>::infinity());
      auto sum = (z - of_rows(weights.log_rows).unsqueeze(1))
                     .exp_()
                     .mul_(of_rows(weights.rows).unsqueeze(1));
      if (weights.columns.defined())
        sum.add_((z - of_columns(weights.log_columns).unsqueeze(0))
                     .exp_()
                     .mul_(of_columns(weights.columns).unsqueeze(0)));
      if (positives.defined()) {
        auto diagonal = positives_of(sum, tile.pairs);
        positives.copy_(diagonal);
        diagonal.zero_();
      }
      g.copy_(sum);
    }
    add_wide_mm_(of_rows(dx), g, tile.column_block);
    if (!upper && dy.defined())
      add_wide_mm_(dy.narrow(0, tile.column, tile.columns), g.t(), tile.row_block);
    else if (upper && tile.column != tile.row)
      add_wide_mm_(dx.narrow(0, tile.column, tile.columns), g.t(),
                   tile.scale.defined() ? tile.row_block : of_rows(x).to(g.scalar_type()));
  });
  if (upper || !dy.defined()) return;
  if (goes_the_way_of_cuda(x, options)) dy.mul_(scale.to(dy.scalar_type()));
  if (magnitude.defined()) dy.mul_(magnitude);
}

/// Returns the divisor for the row and column weights, []: max |weight| / gradient_factor. It
/// bounds the 16-bit gradient tile by 2 * gradient_factor for any loss scale or batch size. It is
/// undefined if nothing is rounded.
[[nodiscard]] inline at::Tensor gradient_magnitude(const at::Tensor& x, const TileOptions& options,
                                                   const at::Tensor& rows,
                                                   const at::Tensor& columns) {
  const auto products = product_dtype(x, options);
  if (products == rows.scalar_type()) return {};
  auto all = at::cat({rows.flatten(), at::zeros({1}, rows.options())});
  if (columns.defined()) all = at::cat({all, columns.flatten()});
  // The lower bound avoids a division by zero. NaN passes through.
  return all.abs().max().clamp_min(1e-30).div_(gradient_factor(products));
}

/// The request to `tiled_logsumexp`.
struct LogSumExpRequest {
  at::Tensor row_keys = {};     ///< int64 [n]; used with `column_keys`. Pairs with equal keys are
                                ///< excluded.
  at::Tensor column_keys = {};  ///< int64 [m]
  /// Row i belongs to column i + positive of this rank's columns; it may be nonzero only if
  /// `columns` is false.
  std::int64_t positive = 0;
  bool columns = true;  ///< Also compute the sums over rows.
  bool ring = false;    ///< Pass the blocks of columns around the ring instead of gathering them.
};

/// The result of `tiled_logsumexp`.
struct LogSumExp {
  at::Tensor rows;         ///< [n], float64
  at::Tensor columns;      ///< [n], float64; undefined if not requested.
  at::Tensor positives;    ///< [n], float64: scale * <x_i, y_i>.
  std::int64_t pairs = 0;  ///< Rows of all ranks.
};

/// Computes the log-sum-exp of scale * x y^T over each row and, for the first n columns, over each
/// column, as differentiable functions of x [n, D], y [m, D] and scale [], where m >= n. Row i
/// belongs to column i (plus `positive`). The other columns are candidates for the rows only. With
/// several ranks x holds this rank's rows, and the columns are those of all ranks. The returned
/// gradients are those of the sum over ranks of the ranks' losses, except that the gradient of the
/// scale still has to be summed over ranks. Neither the forward nor the backward holds more of the
/// matrix than one tile.
[[nodiscard]] inline LogSumExp tiled_logsumexp(const at::Tensor& x_in, const at::Tensor& y_in,
                                               const at::Tensor& scale_in,
                                               const LogSumExpRequest& request,
                                               const TileOptions& tiles, const Ranks& ranks) {
  const auto n = x_in.size(0);
  const auto m = y_in.size(0);
  TORCH_CHECK(n <= m && x_in.dim() == 2 && y_in.dim() == 2 && x_in.size(1) == y_in.size(1),
              "tiled_logsumexp: rows ", x_in.sizes(), " and columns ", y_in.sizes(),
              " must be [n, D] and [m, D] with n <= m");
  TORCH_INTERNAL_ASSERT(request.positive >= 0 && request.positive + n <= m &&
                        (request.positive == 0 || !request.columns));
  const std::vector<at::Tensor> inputs{x_in, y_in, scale_in};
  const bool differentiable = records_gradient(inputs);
  std::int64_t pairs = n;
  std::vector<at::Tensor> outputs;
  GradientFunction gradient;
  {
    const at::NoGradGuard no_grad;
    const auto x = x_in.detach();
    const auto y = y_in.detach();
    const auto kind = sum_dtype(x);
    const auto where = at::TensorOptions(kind).device(x.device());
    const auto scale = scale_in.detach().to(x.device(), kind).squeeze();
    const bool ring = request.ring;
    const ColumnBlocks blocks(ranks, x, y, ring);
    pairs = blocks.all_rows();
    const auto rank = ranks.rank();
    const bool several = ranks.size() > 1;
    const double bound = blocks.bound() * std::abs(scale.item<double>());
    const auto kept = std::make_shared<KeptTiles>();
    at::Tensor keys;  // Keys of the columns of all ranks.
    if (request.row_keys.defined()) keys = blocks.gather(request.column_keys);
    at::Tensor positives;  // Logits, if computed apart from the products.
    if (goes_the_way_of_cuda(x, tiles))
      positives = row_products(x, y.narrow(0, request.positive, n)) * scale;
    const auto pair_block = [request, keys, positives, rank, size = ranks.size()](
                                std::int64_t owner, std::int64_t columns) {
      PairBlock block;
      if (owner == rank) {
        block.positive = request.positive;
        block.positive_logits = positives;
      }
      if (keys.defined()) {
        block.row_keys = request.row_keys;
        block.column_keys = keys[size == 1 ? 0 : owner].narrow(0, 0, columns);
      }
      return block;
    };

    kept->bytes_left = differentiable ? tiles.keep_bytes : 0.0;
    const auto result = sum_pairs(blocks, y,
                                  {{.x = x,
                                    .scale = scale,
                                    .width = y.size(1),
                                    .bound = bound,
                                    .columns = request.columns,
                                    .positives = true,
                                    .kept = kept.get(),
                                    .block = pair_block}},
                                  tiles, ranks)
                            .front();
    const auto& sums = result.sums;
    const auto& log_rows = result.log_rows;
    const auto& log_columns = result.log_columns;
    outputs.push_back(log_rows);
    const auto begin = blocks.begin(rank);
    outputs.push_back(sums.positives.to(at::kDouble));
    if (request.columns) outputs.push_back(log_columns.narrow(0, begin, n).clone());

    // With one process, constant columns need no gradient. With several ranks the columns of other
    // ranks may need one.
    const bool want_dy = several || y_in.requires_grad();
    gradient = [=, tiles_of = tiles, columns_wanted = request.columns, positive = request.positive](
                   const std::vector<at::Tensor>&,
                   const std::vector<at::Tensor>& gradients) -> std::vector<at::Tensor> {
      GradientWeights weights{sums.fixed, sums.offset, {}, {}, {}, {}};
      const auto of = [&](std::size_t i) {
        return gradients[i].defined() ? gradients[i].to(kind) : at::zeros({n}, where);
      };
      auto row_gradient = of(0);
      at::Tensor column_gradients;
      if (columns_wanted) {
        auto own = at::zeros({m}, where);
        own.narrow(0, 0, n).copy_(of(2));
        column_gradients = blocks.gather(own);  // [W, longest]
      }
      const auto magnitude = gradient_magnitude(x, tiles_of, row_gradient, column_gradients);
      if (magnitude.defined()) {
        row_gradient = row_gradient / magnitude;
        if (columns_wanted) column_gradients = column_gradients / magnitude;
      }
      weights.rows = sums.fixed ? row_gradient / sums.rows : row_gradient;
      weights.log_rows = log_rows.to(kind);
      kept->next = 0;
      auto dx = at::zeros(x.sizes(), where);
      auto at_positives = at::zeros({n}, where);
      auto dy = blocks.for_each_and_sum(
          y, y.size(1), where, [&](std::int64_t owner, const at::Tensor& block, at::Tensor& sum) {
            if (columns_wanted) {
              const auto count = block.size(0);
              const auto wanted = column_gradients[several ? owner : 0].narrow(0, 0, count);
              const auto first = blocks.begin(owner);
              // Candidates without a positive row have no gradient, whatever their sum.
              weights.columns =
                  sums.fixed ? wanted / sums.columns.narrow(0, first, count).clamp_min(kSmallestSum)
                             : wanted;
              weights.log_columns = log_columns.narrow(0, first, count).to(kind);
            }
            at::Tensor none;
            add_gradients(x, block, scale, pair_block(owner, block.size(0)), tiles_of, false,
                          weights, magnitude, kept.get(), dx, want_dy ? sum : none, at_positives);
          });
      if (magnitude.defined()) {
        dx.mul_(magnitude);
        at_positives.mul_(magnitude);
      }
      const auto share = at_positives.add_(of(1)).unsqueeze(1);
      dx.addcmul_(share, y.narrow(0, positive, n).to(kind));
      dy.narrow(0, positive, n).addcmul_(share * scale, x.to(kind));
      const auto dscale = (dx * x).sum().to(scale_in.scalar_type()).view(scale_in.sizes());
      dx.mul_(scale);
      return {dx.to(x.scalar_type()), dy.to(y.scalar_type()), dscale};
    };
  }
  outputs = with_gradient(inputs, std::move(outputs), std::move(gradient));
  return {outputs[0], request.columns ? outputs[2] : at::Tensor(), outputs[1], pairs};
}

/// Computes the log-sum-exp of scale * x x^T over each row of x [n, D], without the row itself, as
/// a differentiable float64 tensor [n]. The matrix is symmetric, so only half of its tiles are
/// computed. For n == 1 the sum is empty and the result is -inf.
[[nodiscard]] inline at::Tensor tiled_self_logsumexp(const at::Tensor& x_in,
                                                     const at::Tensor& scale_in,
                                                     const TileOptions& tiles) {
  const auto n = x_in.size(0);
  const std::vector<at::Tensor> inputs{x_in, scale_in};
  std::vector<at::Tensor> outputs;
  GradientFunction gradient;
  {
    const at::NoGradGuard no_grad;
    const auto x = x_in.detach();
    const auto kind = sum_dtype(x);
    const auto where = at::TensorOptions(kind).device(x.device());
    const auto scale = scale_in.detach().to(x.device(), kind).squeeze();
    const double longest = longest_row(x);
    const double bound = longest * longest * std::abs(scale.item<double>());
    PairBlock block;
    block.positive = 0;
    block.drop_positive = true;
    const auto kept = std::make_shared<KeptTiles>();
    kept->bytes_left = records_gradient(inputs) ? tiles.keep_bytes : 0.0;
    auto sums = empty_sums(n, n, false, true, safe_offset(bound, static_cast<double>(n)), where);
    sum_exponentials(x, x, scale, block, tiles, true, sums, kept.get());
    if (bound > tiles.testing.safe_bound && kind == at::kFloat &&
        broken_sums(sums.rows).item<std::int64_t>() > 0) {
      kept->tiles.clear();
      sums = empty_sums(n, n, false, false, 0.0, where);
      sum_exponentials(x, x, scale, block, tiles, false, sums, nullptr);
    }
    const auto log_rows = sums.log_rows();
    outputs.push_back(log_rows);
    gradient = [=](const std::vector<at::Tensor>&,
                   const std::vector<at::Tensor>& gradients) -> std::vector<at::Tensor> {
      // Each pair occurs in both triangles, so its gradient is the sum of both.
      GradientWeights weights{sums.fixed, sums.offset, {}, {}, {}, {}};
      auto row_gradient = gradients[0].to(kind);
      const auto magnitude = gradient_magnitude(x, tiles, row_gradient, {});
      if (magnitude.defined()) row_gradient = row_gradient / magnitude;
      weights.rows = weights.columns = sums.fixed ? row_gradient / sums.rows : row_gradient;
      weights.log_rows = weights.log_columns = log_rows.to(kind);
      kept->next = 0;
      auto dx = at::zeros(x.sizes(), where);
      auto unused = at::Tensor();
      add_gradients(x, x, scale, block, tiles, true, weights, magnitude, kept.get(), dx, unused,
                    unused);
      if (magnitude.defined()) dx.mul_(magnitude);
      const auto dscale = ((dx * x).sum() / 2).to(scale_in.scalar_type()).view(scale_in.sizes());
      return {dx.mul_(scale).to(x.scalar_type()), dscale};
    };
  }
  return with_gradient(inputs, std::move(outputs), std::move(gradient)).front();
}

}  // namespace contrapunto::detail
