// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/embeddings.hpp"
#include "contrapunto/core/state.hpp"
#include "contrapunto/distributed/gather_rows.hpp"
#include "contrapunto/distributed/ranks.hpp"

namespace contrapunto {

struct NegativeQueueOptions {
  std::int64_t pairs = 65'536;  ///< Pairs that the queue holds, over all ranks.
  /// Also keep the rows of x, as candidates for y; see QueuedLoss.
  bool both_directions = false;
};

/// The embeddings of the last pairs of earlier batches, first in, first out, which a `QueuedLoss`
/// uses as negatives. They have no gradient. Every rank holds the whole queue, in which the ranks
/// of a batch come one after another, so it does not depend on the number of ranks. Copies of the
/// object share the queue.
///
///   NegativeQueue queue({.pairs = 65'536}, ranks);
///   GradCache compute_gradients(model, QueuedLoss(TiledInfoNce({}, ranks), queue), ...);
///   parts.add("queue", queue);  // of the checkpoints
///   compute_gradients(batch);
///   queue.push();  // once per optimizer step, whatever its chunks are
/// Reference: He et al. 2020, https://arxiv.org/abs/1911.05722
class NegativeQueue {
 public:
  /// Raises unless `pairs` is positive.
  explicit NegativeQueue(NegativeQueueOptions options = {}, Ranks ranks = {})
      : o_(options), ranks_(std::move(ranks)), held_(std::make_shared<Held>()) {
    TORCH_CHECK(o_.pairs > 0, "NegativeQueue: pairs (", o_.pairs, ") must be positive");
  }

  /// Appends the batch that the loss has seen last and removes the oldest pairs. A step that was
  /// repeated, because memory ran out, counts once. Raises if the loss has seen no batch since the
  /// last call, if its width differs from that of the queue, and if only some batches have group
  /// ids. Collective.
  void push() {
    auto& batch = held_->batch;
    TORCH_CHECK(
        batch.y.defined(),
        "NegativeQueue: there is no batch to append; call push() once after each step, with "
        "a QueuedLoss of this queue");
    auto& queue = held_->queue;
    TORCH_CHECK(!queue.y.defined() || queue.y.size(1) == batch.y.size(1),
                "NegativeQueue: the queue has rows of ", queue.y.size(1),
                " numbers and the batch of ", batch.y.size(1));
    TORCH_CHECK(!queue.y.defined() || queue.group_ids.defined() == batch.group_ids.defined(),
                "NegativeQueue: either all batches or none must have group_ids");
    append(queue.y, batch.y);
    append(queue.x, batch.x);
    append(queue.group_ids, batch.group_ids);
    batch = {};
  }

  /// Number of pairs in the queue.
  [[nodiscard]] std::int64_t size() const {
    return held_->queue.y.defined() ? held_->queue.y.size(0) : 0;
  }

  /// Saves and restores the queue, which is the same on all ranks. A queue that now holds fewer
  /// pairs keeps the last ones. Raises if the rows of x are missing.
  [[nodiscard]] State save_state() const {
    State state;
    const auto add = [&](const char* name, const at::Tensor& rows) {
      if (rows.defined()) state.tensors[name] = rows;
    };
    add("x", held_->queue.x);
    add("y", held_->queue.y);
    add("group_ids", held_->queue.group_ids);
    return state;
  }
  void load_state(const State& state) {
    const auto rows = [&](const char* name) {
      const auto found = state.tensors.find(name);
      return found == state.tensors.end() ? at::Tensor() : last(found->second);
    };
    Rows queue{rows("x"), rows("y"), rows("group_ids")};
    if (!o_.both_directions) queue.x = at::Tensor();
    TORCH_CHECK(queue.x.defined() == (o_.both_directions && queue.y.defined()),
                "NegativeQueue: both_directions is set, but the state has no rows of x");
    *held_ = {.queue = std::move(queue), .batch = {}};
  }

  // The following functions are for QueuedLoss.

  /// Rows of pairs; undefined if there are none.
  struct Rows {
    at::Tensor x = {}, y = {};  ///< [K, D]; x only with `both_directions`.
    at::Tensor group_ids = {};  ///< int64 [K], if the batches have them.
  };
  /// Returns this rank's part of the queue, so that each pair is on one rank.
  [[nodiscard]] Rows share() const {
    const auto begin = [&](std::int64_t rank) { return size() * rank / ranks_.size(); };
    const auto first = begin(ranks_.rank()), count = begin(ranks_.rank() + 1) - first;
    const auto part = [&](const at::Tensor& rows) {
      return rows.defined() ? rows.narrow(0, first, count) : rows;
    };
    const auto& queue = held_->queue;
    return {part(queue.x), part(queue.y), part(queue.group_ids)};
  }
  /// Remembers the batch that the next push() appends.
  void remember(const Embeddings& e) const {
    held_->batch = {o_.both_directions ? e.x.detach() : at::Tensor(), e.y.detach(),
                    e.group_ids.value_or(at::Tensor())};
  }
  [[nodiscard]] bool both_directions() const { return o_.both_directions; }
  [[nodiscard]] const Ranks& ranks() const { return ranks_; }

 private:
  struct Held {
    Rows queue = {};
    Rows batch = {};  // This rank's pairs of the step, until they are pushed.
  };

  [[nodiscard]] at::Tensor last(const at::Tensor& rows) const {
    const auto count = std::min(o_.pairs, rows.size(0));
    return rows.narrow(0, rows.size(0) - count, count).clone();
  }
  void append(at::Tensor& queue, const at::Tensor& batch) const {
    if (!batch.defined()) return;
    const auto rows = gather_rows(ranks_, batch).rows;
    queue = last(queue.defined() ? at::cat({queue.to(rows.options()), rows}) : rows);
  }

  NegativeQueueOptions o_;
  Ranks ranks_;
  std::shared_ptr<Held> held_;
};
static_assert(Stateful<NegativeQueue>);

}  // namespace contrapunto
