// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/xlogy.h>
#include <ATen/ops/zeros.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "contrapunto/autograd/custom_gradient.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/loss/detail/distilled_pairs.hpp"
#include "contrapunto/loss/detail/pair_sums.hpp"

namespace contrapunto::detail {

/// Returns the softmax of the logits `z` of a tile over the columns (`dim` 1) or over the rows
/// (`dim` 0).
[[nodiscard]] inline at::Tensor softmax_of(const at::Tensor& z, const PairSums& sums,
                                           const DistilledPairs::View& view, std::int64_t dim) {
  const auto& tile = view.tile;
  const auto logs =
      dim == 1 ? sums.log_rows.narrow(0, tile.row, tile.rows).unsqueeze(1)
               : sums.log_columns.narrow(0, view.begin + tile.column, tile.columns).unsqueeze(0);
  return (z - logs.to(z.scalar_type())).exp_();
}

/// Replaces logits by the sum of both softmaxes.
inline void to_softmaxes_(at::Tensor& z, const PairSums& sums, const DistilledPairs::View& view) {
  const auto& tile = view.tile;
  if (!sums.sums.fixed) {
    auto both = softmax_of(z, sums, view, 1);
    z.copy_(both.add_(softmax_of(z, sums, view, 0)));
    return;
  }
  const auto rows = sums.sums.rows.narrow(0, tile.row, tile.rows).reciprocal();
  const auto columns =
      sums.sums.columns.narrow(0, view.begin + tile.column, tile.columns).clamp_min(kSmallestSum);
  gradient_tile_(z, {}, {}, sums.sums.offset, {}, rows, columns.reciprocal(), {}, z);
}

/// Computes this rank's share of the cross-entropy of the student's softmaxes over rows and over
/// columns [N, N], with the mean of the teachers' softmaxes as targets, as the mean over pairs and
/// directions. The first pass over the tiles sums their exponentials; the second computes the value
/// and the gradients, so that the backward only scales them. `student` holds x, y and scale with
/// their graph.
[[nodiscard]] inline DistilledShare soft_cross_entropy(const std::vector<at::Tensor>& student,
                                                       std::vector<ModelFeatures> models, bool ring,
                                                       const TileOptions& tiles,
                                                       const Ranks& ranks) {
  const bool differentiable = records_gradient(student);
  at::Tensor value, entropy;
  DistilledPairs::Gradients gradients;
  {
    const at::NoGradGuard no_grad;
    const DistilledPairs pairs(std::move(models), ring, tiles, ranks);
    const auto sums = pairs.sums();
    const auto teachers = sums.size() - 1;
    // The cross-entropy is the sum of targets * (log-sum-exp - logit). The targets of one teacher
    // are exponentials divided by their own sums, so they sum to 1 up to one rounding, and the
    // log-sum-exps can be added as they are. Targets of other forms are summed.
    const bool fused = teachers == 1 && sums[1].sums.fixed;
    const auto own_logs = [&](const PairSums& of) {
      return of.log_rows.sum() + pairs.own(of.log_columns).sum();
    };
    value = fused ? own_logs(sums[0]) : at::zeros({}, pairs.where().dtype(at::kDouble));
    entropy = fused ? own_logs(sums[1]) : at::zeros({}, pairs.where().dtype(at::kDouble));
    const auto share = 0.5 / static_cast<double>(pairs.all_rows());
    TileMemory memory;
    gradients = pairs.for_each(differentiable, share, [&](DistilledPairs::View& view) {
      auto& s = view.student;
      memory.fit(s, fused ? 2 : 3);
      auto targets = memory[0], z = memory[1];
      if (fused) {
        view.logits(1, targets);
        z.copy_(targets);
        to_softmaxes_(targets, sums[1], view);
        entropy.sub_(z.mul_(targets).sum(at::kDouble));
      } else {
        auto over_rows = memory[2];
        targets.zero_();
        over_rows.zero_();
        for (std::size_t k = 1; k <= teachers; ++k) {
          view.logits(k, z);
          const double weight = pairs.models()[k].weight;
          targets.add_(softmax_of(z, sums[k], view, 1), weight);
          over_rows.add_(softmax_of(z, sums[k], view, 0), weight);
        }
        for (const auto& half : {targets, over_rows})
          entropy.sub_(at::xlogy(half, half).sum(at::kDouble));
        const auto& tile = view.tile;
        value.add_(targets.sum(1, false, at::kDouble)
                       .dot(sums[0].log_rows.narrow(0, tile.row, tile.rows)));
        value.add_(over_rows.sum(0, false, at::kDouble)
                       .dot(sums[0].log_columns.narrow(0, view.begin + tile.column, tile.columns)));
        targets.add_(over_rows);
      }
      value.sub_(at::mul_out(z, s, targets).sum(at::kDouble));
      if (!differentiable) return;
      to_softmaxes_(s, sums[0], view);
      s.sub_(targets);
    });
    value.mul_(share);
    entropy.mul_(share);
  }
  const auto gradient = times_output_gradient({gradients.x, gradients.y, gradients.scale});
  return {with_gradient(student, {value}, gradient).front(), entropy};
}

}  // namespace contrapunto::detail
