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

/// Maps a batch entry to [B, D]: any LibTorch module holder whose forward takes one tensor.
template <class T> concept Tower = requires(T& tower, const at::Tensor& input) {
  { tower(input) } -> std::convertible_to<at::Tensor>;
  tower->parameters();
};

/// Maps the embeddings of a batch to a scalar, or to a scalar with named parts.
template <class L> concept ContrastiveLoss = requires(const L& loss, const Embeddings& e) {
  { loss(e) } -> std::convertible_to<LossTerms>;
};

/// A pure function of the optimiser step, so that resuming needs no state.
template <class S> concept Schedule = requires(const S& schedule, std::int64_t step) {
  { schedule(step) } -> std::convertible_to<double>;
};

/// Has state that a checkpoint must carry.
template <class T> concept Stateful = requires(T& part, const T& same, const State& state) {
  { same.save_state() } -> std::same_as<State>;
  part.load_state(state);
};

/// Gives the batches of an epoch one after the other. Its position is counted in samples of the
/// epoch over all ranks and is its state, so a run may go on with another batch size or number of
/// ranks at the next sample.
template <class L>
concept Loader = Stateful<L> &&
    requires(L& loader, const L& same, std::int64_t epoch, std::int64_t first_sample) {
  loader.start_epoch(epoch);
  loader.start_epoch(epoch, first_sample);
  { loader.next() } -> std::same_as<std::optional<Batch>>;
  { same.epoch() } -> std::same_as<std::int64_t>;
  { same.batches_per_epoch() } -> std::same_as<std::int64_t>;
  { same.statistics().wait_seconds } -> std::convertible_to<double>;
};

}  // namespace contrapunto
