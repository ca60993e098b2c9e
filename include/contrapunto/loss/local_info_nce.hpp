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
#include "contrapunto/distributed/all_reduce_value.hpp"
#include "contrapunto/distributed/gather_with_gradient.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/loss/detail/loss_inputs.hpp"
#include "contrapunto/loss/detail/tiled_logsumexp.hpp"

namespace contrapunto {

struct LocalInfoNceOptions {
  TileOptions tiles = {};
  /// On: the gradients flow through the gathered candidates to the features of all ranks, and are
  /// those of the loss. Off: the candidates are constants, as with OpenCLIP's --local-loss without
  /// --gather-with-grad. This saves one exchange and a quarter of the products, but gives different
  /// gradients.
  bool gather_with_grad = true;
};

/// InfoNCE of the batch of all ranks as OpenCLIP's --local-loss computes it: each rank matches its
/// own rows of x against y of all ranks, and its own rows of y against x of all ranks. It needs
/// twice the products of `TiledInfoNce` and gathers both sides instead of one. Its advantage is
/// that it does the same arithmetic as OpenCLIP, row by row. It is tiled, so the memory is O(N D)
/// for N pairs of all ranks.
///
/// Negatives (candidates for x only), group ids, uneven batches, the result and the sum of
/// gradients over ranks work as in `TiledInfoNce`. Either all ranks or none must have negatives,
/// and likewise group ids.
class LocalInfoNce {
 public:
  explicit LocalInfoNce(LocalInfoNceOptions options = {}, Ranks ranks = {})
      : o_(options), ranks_(std::move(ranks)) {}

  /// Returns one sentence on what the gradients leave out and which option corrects it, to be
  /// printed at the start of a run. It is empty if the gradients are exact, as they always are with
  /// one rank.
  [[nodiscard]] std::string gradient_warning() const {
    if (ranks_.size() == 1 || o_.gather_with_grad) return {};
    return "LocalInfoNce: gradients leave out the effect of each feature as a candidate for the "
           "rows "
           "of this and other ranks, so they are not those of the loss; set "
           "gather_with_grad for exact ones.";
  }

  /// Returns the loss, []. Collective, as is its backward if gradients pass through the gather.
  [[nodiscard]] at::Tensor operator()(const Embeddings& e) const {
    const detail::LossInputs in(e, "LocalInfoNce");
    const auto width = in.x.size(1);

    const auto both = gather(at::cat({in.x, in.y}, 1));  // [N, 2 D]: one message for both sides
    const auto all_x = both.rows.narrow(1, 0, width);
    auto candidates = both.rows.narrow(1, width, width);
    if (e.negatives) candidates = at::cat({candidates, gather(in.negatives).rows});
    detail::LogSumExpRequest for_x{.positive = both.offset, .columns = false};
    auto for_y = for_x;
    if (e.group_ids) {
      const auto groups = gather_rows(ranks_, *e.group_ids).rows;
      for_x.row_keys = for_y.row_keys = *e.group_ids;
      for_y.column_keys = groups;
      for_x.column_keys =
          e.negatives ? at::cat({groups, gather_rows(ranks_, *e.negative_group_ids).rows}) : groups;
    }
    const Ranks alone;  // The rest is local to this rank.
    const auto of_x = detail::tiled_logsumexp(in.x, candidates, in.scale, for_x, o_.tiles, alone);
    const auto of_y = detail::tiled_logsumexp(in.y, all_x, in.scale, for_y, o_.tiles, alone);
    const auto share = (of_x.rows - of_x.positives + of_y.rows - of_y.positives) / 2;  // [B]
    const auto mean = share.sum() / static_cast<double>(both.rows.size(0));
    return all_reduce_value(mean, ranks_).to(in.x.scalar_type());
  }

  [[nodiscard]] const Ranks& ranks() const { return ranks_; }

 private:
  /// Gathers the rows of all ranks. With one rank the gradient is always kept.
  [[nodiscard]] GatheredRows gather(const at::Tensor& rows) const {
    return o_.gather_with_grad || ranks_.size() == 1 ? gather_with_gradient(ranks_, rows)
                                                     : gather_rows(ranks_, rows);
  }

  LocalInfoNceOptions o_;
  Ranks ranks_;
};
static_assert(ContrastiveLoss<LocalInfoNce>);

}  // namespace contrapunto
