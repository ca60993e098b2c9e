// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <c10/util/Exception.h>

#include <concepts>
#include <optional>
#include <type_traits>
#include <utility>

#include "contrapunto/core/batch.hpp"
#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/embeddings.hpp"
#include "contrapunto/core/loss_terms.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/loss/detail/weighted_terms.hpp"
#include "contrapunto/loss/negative_queue.hpp"

namespace contrapunto {

/// Any loss that takes `Embeddings::negatives`, with the pairs of a `NegativeQueue` as further
/// negatives: `TiledInfoNce`, `TiledSigmoidLoss`, `LocalInfoNce`, or a `MatryoshkaLoss` around one.
/// The value and the gradient are those of the loss with the rows of y of all queued pairs as
/// negatives, over any number of ranks and with any chunks; a step strategy always runs it on the
/// whole batch, because it is not separable. Queued pairs with the group id of a pair are not its
/// negatives. In a `LossSum` of a distillation it is the student's.
///
/// Such negatives are candidates for x only. With `NegativeQueueOptions::both_directions` the loss
/// is the mean of the loss and of the loss with x and y exchanged, where the rows of x of the
/// queued pairs are the negatives. With TiledInfoNce({.symmetric = false}) these are the two
/// directions of InfoNCE, each with its queue.
///
/// The loss remembers the batch if gradients are recorded; NegativeQueue::push() appends it. The
/// number of queued pairs is logged as "queued_pairs".
///
///   const QueuedLoss loss(TiledInfoNce({}, ranks), queue);
template <class Loss>
class QueuedLoss {
 public:
  /// Raises if the ranks of the loss and of the queue differ.
  QueuedLoss(Loss loss, NegativeQueue queue) : loss_(std::move(loss)), queue_(std::move(queue)) {
    if constexpr (requires {
                    { loss_.ranks() } -> std::convertible_to<Ranks>;
                  })
      TORCH_CHECK(loss_.ranks().size() == queue_.ranks().size() &&
                      loss_.ranks().rank() == queue_.ranks().rank(),
                  "QueuedLoss: the loss has ", loss_.ranks().size(), " ranks and the queue ",
                  queue_.ranks().size(), "; give both the same");
  }

  /// Returns the loss, []. Collective.
  [[nodiscard]] LossTerms operator()(
      const Embeddings& e) const requires std::is_invocable_v<const Loss&, const Embeddings&> {
    return of(e);
  }
  [[nodiscard]] LossTerms operator()(const Embeddings& e, const Batch& batch)
      const requires std::is_invocable_v<const Loss&, const Embeddings&, const Batch&> {
    return of(e, batch);
  }

  [[nodiscard]] const Ranks& ranks() const { return queue_.ranks(); }

 private:
  template <class... More>
  [[nodiscard]] LossTerms of(const Embeddings& e, const More&... batch) const {
    const auto queued = queue_.share();
    auto terms = [&]() -> LossTerms {
      const auto x_to_y = with_negatives(e, queued.y, queued.group_ids);
      if (!queue_.both_directions()) return loss_(x_to_y, batch...);
      auto exchanged = e;
      std::swap(exchanged.x, exchanged.y);
      exchanged.negatives = exchanged.negative_group_ids = std::nullopt;
      detail::WeightedTerms mean;
      mean.add("x_to_y", 0.5, loss_(x_to_y, batch...));
      mean.add("y_to_x", 0.5,
               loss_(with_negatives(std::move(exchanged), queued.x, queued.group_ids), batch...));
      return mean.take();
    }();
    terms.parts.emplace_back("queued_pairs", at::full({}, static_cast<double>(queue_.size())));
    if (at::GradMode::is_enabled()) queue_.remember(e);
    return terms;
  }

  /// Appends rows to the negatives of `e`.
  [[nodiscard]] static Embeddings with_negatives(Embeddings e, const at::Tensor& rows,
                                                 const at::Tensor& group_ids) {
    if (!rows.defined()) return e;
    TORCH_CHECK(e.y.dim() == 2 && rows.size(1) == e.y.size(1), "QueuedLoss: the queue has rows of ",
                rows.size(1), " numbers, but the embeddings are ", e.y.sizes());
    const auto append = [](std::optional<at::Tensor>& all, const at::Tensor& more) {
      all = all ? at::cat({*all, more.to(all->options().requires_grad(false))}) : more;
    };
    append(e.negatives, rows.to(e.y.device()));
    if (e.group_ids && group_ids.defined())
      append(e.negative_group_ids, group_ids.to(e.y.device()));
    return e;
  }

  Loss loss_;
  NegativeQueue queue_;
};

}  // namespace contrapunto
