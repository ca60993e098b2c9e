// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/unique_consecutive.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <tuple>
#include <utility>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/embeddings.hpp"
#include "contrapunto/core/unit_rows.hpp"
#include "contrapunto/loss/full_precision.hpp"
#include "contrapunto/loss/log_sums.hpp"

namespace contrapunto {

/// NT-Xent of two views x and y of each sample: among the 2 B rows of both, each must find its
/// other view; the mean over 2 B cross-entropies. The matrix of all 2 B rows with themselves is
/// symmetric and never built, half of its tiles are made. One process. Result [] in float32
/// (float64). With B == 1 the value is 0. Raises for shapes that do not fit, keys and negatives.
/// Reference: Chen et al. 2020, https://arxiv.org/abs/2002.05709
class NtXent {
 public:
  explicit NtXent(TileOptions tiles = {}) : tiles_(tiles) {}

  [[nodiscard]] at::Tensor operator()(const Embeddings& e) const {
    detail::check_embeddings(e, "NtXent");
    const detail::FullPrecision no_autocast;
    const auto x = at_least_float32(e.x);
    const auto y = e.y.to(x.scalar_type());
    const auto scale = e.scale.to(x.scalar_type());
    const auto logs = detail::self_log_sums(at::cat({x, y}), scale, tiles_);
    const auto positives = (x * y).sum(1) * scale;
    return (logs.mean() - positives.to(at::kDouble).mean()).to(x.scalar_type());
  }

 private:
  TileOptions tiles_;
};
static_assert(ContrastiveLoss<NtXent>);

/// Supervised contrastive loss of two views x and y: each of the 2 B rows must find all others of
/// its key, the mean over them outside of the logarithm, then the mean over rows. Tiles as in
/// NtXent, of which it is the generalisation: with a key per sample both agree. One process.
/// Result [] in float32 (float64). Raises without keys and for shapes that do not fit.
/// Reference: Khosla et al. 2020, https://arxiv.org/abs/2004.11362, equation 2
class SupCon {
 public:
  explicit SupCon(TileOptions tiles = {}) : tiles_(tiles) {}

  [[nodiscard]] at::Tensor operator()(const Embeddings& e) const {
    detail::check_pairs(e, "SupCon");
    TORCH_CHECK(e.x.size(0) > 0, "SupCon: the batch is empty, x is ", e.x.sizes());
    TORCH_CHECK(e.keys && !e.negatives,
                "SupCon: set keys, int64 [B], to the class of each pair; it takes no negatives");
    const detail::FullPrecision no_autocast;
    const auto x = at_least_float32(e.x);
    const auto rows = at::cat({x, e.y.to(x.scalar_type())});  // [2 B, D]
    const auto n = rows.size(0);
    const auto scale = e.scale.to(x.scalar_type());
    const auto logs = detail::self_log_sums(rows, scale, tiles_);
    // Similarities to all rows of a class are one product with their sum, so no pair is visited.
    const auto classes = std::get<1>(at::_unique(at::cat({*e.keys, *e.keys}), false, true));
    const auto sums = at::zeros_like(rows).index_add(0, classes, rows);
    const auto counts =
        at::zeros({n}, rows.options().requires_grad(false))
            .index_add_(0, classes, at::ones({n}, rows.options().requires_grad(false)));
    const auto others = counts.index_select(0, classes) - 1;  // positives of each row, 1 at least
    const auto similarity = (rows * (sums.index_select(0, classes) - rows)).sum(1) / others;
    return (logs - (similarity * scale).to(at::kDouble)).mean().to(x.scalar_type());
  }

 private:
  TileOptions tiles_;
};
static_assert(ContrastiveLoss<SupCon>);

}  // namespace contrapunto
