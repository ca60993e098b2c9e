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
#include "contrapunto/core/unit_rows.hpp"
#include "contrapunto/distributed/all_reduce_value.hpp"
#include "contrapunto/distributed/single_process.hpp"
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
/// pairs and negatives of one key are no negatives of each other.
///
/// Ranks may hold batches of different sizes. Every rank returns the loss of the whole batch; its
/// gradients are that rank's part, so gradients of parameters are to be summed over ranks, not
/// averaged. Logits and result [] are float32 (float64 for float64 features). Without any pair the
/// value is NaN. Raises for shapes that do not fit.
/// Reference: Radford et al. 2021, https://arxiv.org/abs/2103.00020; one direction: Henderson et
/// al. 2017, https://arxiv.org/abs/1705.00652
template <Communicator C = SingleProcess>
class TiledInfoNce {
 public:
  explicit TiledInfoNce(TiledInfoNceOptions options = {}, C communicator = {})
      : o_(options), communicator_(std::move(communicator)) {}

  [[nodiscard]] at::Tensor operator()(const Embeddings& e) const {
    detail::check_pairs(e, "TiledInfoNce");
    const detail::NoAutocast no_autocast;
    const auto x = at_least_float32(e.x);
    const auto kind = x.scalar_type();
    const auto y = e.y.to(kind);
    const auto candidates = detail::candidates_of(e, y);
    const detail::LogSumExpRequest request{.row_keys = e.keys.value_or(at::Tensor()),
                                           .column_keys = candidates.keys,
                                           .columns = o_.symmetric,
                                           .ring = o_.ring};
    const auto sums = detail::tiled_logsumexp(x, candidates.rows, e.scale.to(kind), request,
                                              o_.tiles, communicator_);
    auto share = sums.rows - sums.positives;  // [B], float64
    if (o_.symmetric) share = (share + sums.columns - sums.positives) / 2;
    const auto mean = share.sum() / static_cast<double>(sums.pairs);
    return detail::all_reduce_value(mean, communicator_).to(kind);
  }

 private:
  TiledInfoNceOptions o_;
  C communicator_;
};
static_assert(ContrastiveLoss<TiledInfoNce<>>);

}  // namespace contrapunto
