// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <utility>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/embeddings.hpp"
#include "contrapunto/distributed/all_reduce_value.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/loss/detail/loss_inputs.hpp"
#include "contrapunto/loss/detail/tiled_logsumexp.hpp"

namespace contrapunto {

struct TiledInfoNceOptions {
  TileOptions tiles = {};
  /// Take the mean of both directions. If off, only x is matched against all y and negatives, as in
  /// the MultipleNegativesRankingLoss of sentence-transformers.
  bool symmetric = true;
  /// On: with several ranks y is passed from rank to rank, and the memory does not grow with the
  /// number of ranks. Off: y of all ranks is gathered in one collective.
  bool ring = false;
};

/// InfoNCE of the batch of all ranks, computed tile by tile. The value and the gradients are those
/// of `InfoNce` on the global batch, with O(B D) memory in addition to the features. `negatives`
/// are candidates for x only. Pairs and negatives with the same group id are not negatives of each
/// other.
///
/// Ranks may hold batches of different sizes. Every rank returns the loss of the whole batch, and
/// its gradients are that rank's part, so parameter gradients must be summed over ranks, not
/// averaged. The logits and the result [] are float32 (float64 for float64 features). Without any
/// pair the value is NaN. Raises for shapes that do not fit.
/// Reference: Radford et al. 2021, https://arxiv.org/abs/2103.00020; one direction: Henderson et
/// al. 2017, https://arxiv.org/abs/1705.00652
class TiledInfoNce {
 public:
  explicit TiledInfoNce(TiledInfoNceOptions options = {}, Ranks ranks = {})
      : o_(options), ranks_(std::move(ranks)) {}

  /// Returns the loss, []. Collective, as is its backward.
  [[nodiscard]] at::Tensor operator()(const Embeddings& e) const {
    const detail::LossInputs in(e, "TiledInfoNce");
    const detail::LogSumExpRequest request{.row_keys = in.row_groups,
                                           .column_keys = in.candidate_groups,
                                           .columns = o_.symmetric,
                                           .ring = o_.ring};
    const auto sums =
        detail::tiled_logsumexp(in.x, in.candidates, in.scale, request, o_.tiles, ranks_);
    auto share = sums.rows - sums.positives;  // [B], float64
    if (o_.symmetric) share = (share + sums.columns - sums.positives) / 2;
    const auto mean = share.sum() / static_cast<double>(sums.pairs);
    return all_reduce_value(mean, ranks_).to(in.x.scalar_type());
  }

  [[nodiscard]] const Ranks& ranks() const { return ranks_; }

 private:
  TiledInfoNceOptions o_;
  Ranks ranks_;
};
static_assert(ContrastiveLoss<TiledInfoNce>);

}  // namespace contrapunto
