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
  /// Mean of both directions; off: x must find its y among all y and negatives, and no more, as
  /// sentence-transformers' MultipleNegativesRankingLoss.
  bool symmetric = true;
  /// Over ranks: y travels from rank to rank, in memory that does not grow with their number. Off:
  /// y of all ranks is gathered, in one message.
  bool ring = false;
};

/// InfoNCE of the batch of all ranks, tile by tile: the value and the gradients of `InfoNce` over
/// the global batch, in memory O(B D) beyond the features. `negatives` are candidates for x only;
/// pairs and negatives with one group id are not negatives of each other.
///
/// Ranks may hold batches of different sizes. Every rank returns the loss of the whole batch; its
/// gradients are that rank's part, so gradients of parameters are to be summed over ranks, not
/// averaged. Logits and result [] are float32 (float64 for float64 features). Without any pair the
/// value is NaN. Raises for shapes that do not fit.
/// Reference: Radford et al. 2021, https://arxiv.org/abs/2103.00020; one direction: Henderson et
/// al. 2017, https://arxiv.org/abs/1705.00652
class TiledInfoNce {
 public:
  explicit TiledInfoNce(TiledInfoNceOptions options = {}, Ranks ranks = {})
      : o_(options), ranks_(std::move(ranks)) {}

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
