// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>

#include <cstdint>
#include <string>
#include <utility>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/embeddings.hpp"
#include "contrapunto/core/unit_rows.hpp"
#include "contrapunto/distributed/all_reduce_value.hpp"
#include "contrapunto/distributed/gather_with_gradient.hpp"
#include "contrapunto/distributed/single_process.hpp"
#include "contrapunto/loss/detail/loss_inputs.hpp"
#include "contrapunto/loss/detail/tiled_logsumexp.hpp"

namespace contrapunto {

struct LocalInfoNceOptions {
  TileOptions tiles = {};
  /// The gathered candidates are functions of the features they came from, and the gradients those
  /// of the loss. Off: they are constants, as with OpenCLIP's --local-loss without
  /// --gather-with-grad; one exchange less and a quarter of the products, but other gradients.
  bool gradient_through_gather = true;
};

/// InfoNCE of the batch of all ranks as OpenCLIP's --local-loss computes it: each rank lets its own
/// rows of x find their y among those of all ranks, and its own rows of y their x. Twice the
/// products of `TiledInfoNce`, and both sides are gathered instead of one; what it offers is that
/// form's arithmetic, row by row. Tiled, so memory is O(N D) for N pairs of all ranks.
///
/// Negatives (candidates for x only), keys, uneven batches, result and the sum of gradients over
/// ranks are as with `TiledInfoNce`. Either all ranks have negatives and keys, or none.
template <Communicator C = SingleProcess>
class LocalInfoNce {
 public:
  explicit LocalInfoNce(LocalInfoNceOptions options = {}, C communicator = {})
      : o_(options), communicator_(std::move(communicator)) {}

  /// One sentence on what the gradients leave out and which option repairs it, to be printed when a
  /// run starts; empty when they are exact, as they always are with one rank.
  [[nodiscard]] std::string inexact() const {
    if (communicator_.size() == 1 || o_.gradient_through_gather) return {};
    return "LocalInfoNce: gradients leave out what each feature does as a candidate for the rows "
           "of this and other ranks, so they are not those of the loss; set "
           "gradient_through_gather for exact ones.";
  }

  [[nodiscard]] at::Tensor operator()(const Embeddings& e) const {
    detail::check_pairs(e, "LocalInfoNce");
    const detail::NoAutocast no_autocast;
    const auto x = at_least_float32(e.x);
    const auto kind = x.scalar_type();
    const auto y = e.y.to(kind);
    const auto scale = e.scale.to(kind);
    const auto width = x.size(1);

    const auto both = gather(at::cat({x, y}, 1));  // [N, 2 D]: one message for both sides
    const auto all_x = both.rows.narrow(1, 0, width);
    auto candidates = both.rows.narrow(1, width, width);
    if (e.negatives) candidates = at::cat({candidates, gather(e.negatives->to(kind)).rows});
    detail::LogSumExpRequest for_x{.positive = both.offset, .columns = false};
    auto for_y = for_x;
    if (e.keys) {
      const auto keys = gather_rows(communicator_, *e.keys).rows;
      for_x.row_keys = for_y.row_keys = *e.keys;
      for_y.column_keys = keys;
      for_x.column_keys =
          e.negatives ? at::cat({keys, gather_rows(communicator_, *e.negative_keys).rows}) : keys;
    }
    const SingleProcess alone;  // what follows is of this rank only
    const auto of_x = detail::tiled_logsumexp(x, candidates, scale, for_x, o_.tiles, alone);
    const auto of_y = detail::tiled_logsumexp(y, all_x, scale, for_y, o_.tiles, alone);
    const auto share = (of_x.rows - of_x.positives + of_y.rows - of_y.positives) / 2;  // [B]
    const auto mean = share.sum() / static_cast<double>(both.rows.size(0));
    return detail::all_reduce_value(mean, communicator_).to(kind);
  }

 private:
  /// The rows of all ranks; with one rank there is nothing to gather, and nothing is constant.
  [[nodiscard]] GatheredRows gather(const at::Tensor& rows) const {
    if (communicator_.size() == 1) return {rows, {rows.size(0)}, 0};
    return o_.gradient_through_gather ? gather_with_gradient(communicator_, rows)
                                      : gather_rows(communicator_, rows);
  }

  LocalInfoNceOptions o_;
  C communicator_;
};
static_assert(ContrastiveLoss<LocalInfoNce<>>);

}  // namespace contrapunto
