// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <concepts>
#include <cstdint>
#include <optional>

#include "contrapunto/core/batch.hpp"
#include "contrapunto/core/embeddings.hpp"
#include "contrapunto/core/loss_terms.hpp"
#include "contrapunto/core/state.hpp"

namespace contrapunto {

/// A module that maps a batch entry to [B, D]: any LibTorch module holder whose forward takes one
/// tensor.
template <class T> concept Tower = requires(T& tower, const at::Tensor& input) {
  { tower(input) } -> std::convertible_to<at::Tensor>;
  tower->parameters();
};

/// A loss that maps `Inputs`, which the head of a step model returns, to a scalar or to a scalar
/// with named parts. It may take the batch as a second argument.
template <class L, class Inputs> concept LossOf = requires(const L& loss, const Inputs& inputs) {
  { loss(inputs) } -> std::convertible_to<LossTerms>;
}
|| requires(const L& loss, const Inputs& inputs, const Batch& batch) {
  { loss(inputs, batch) } -> std::convertible_to<LossTerms>;
};

/// A loss over pairs of embeddings.
template <class L> concept ContrastiveLoss = LossOf<L, Embeddings>;

/// A loss that is a mean over samples, each of which contributes independently of the others. Such
/// a loss declares a static member `kSeparable` that is true. Step strategies average it over all
/// samples of all ranks.
template <class L> concept SeparableLoss = requires {
  requires L::kSeparable;
};

/// A pure function of the optimizer step, so that it has no state to resume.
template <class S> concept Schedule = requires(const S& schedule, std::int64_t step) {
  { schedule(step) } -> std::convertible_to<double>;
};

/// A part of a run with state that a checkpoint must contain.
template <class T> concept Stateful = requires(T& part, const T& same, const State& state) {
  { same.save_state() } -> std::same_as<State>;
  part.load_state(state);
};

/// A loader that returns the batches of an epoch one after another. Its state is its position,
/// counted in samples of the epoch over all ranks. A run may therefore resume at the next sample
/// with another batch size or number of ranks.
template <class L>
concept Loader = Stateful<L> &&
    requires(L& loader, const L& same, std::int64_t epoch, std::int64_t first_sample) {
  loader.start_epoch(epoch);
  loader.start_epoch(epoch, first_sample);
  { loader.next() } -> std::same_as<std::optional<Batch>>;
  { same.epoch() } -> std::same_as<std::int64_t>;
  { same.batches_per_epoch() } -> std::same_as<std::int64_t>;
  { same.statistics().times.wait } -> std::convertible_to<double>;
};

}  // namespace contrapunto
