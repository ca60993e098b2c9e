// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <concepts>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "contrapunto/core/batch.hpp"
#include "contrapunto/core/embeddings.hpp"
#include "contrapunto/core/loss_terms.hpp"
#include "contrapunto/distributed/gradient_sync.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/precision/loss_scaler.hpp"
#include "contrapunto/precision/precision_policy.hpp"

namespace contrapunto {

/// The output of an encoder for b samples: one tensor [b, ...], or several if the head needs more
/// than one. A tensor or a vector of tensors converts to it. Step strategies convert 16-bit
/// features to float32 before they call the head.
struct Features {
  Features() = default;
  Features(at::Tensor one) : tensors{std::move(one)} {}                       // NOLINT: on purpose
  Features(std::vector<at::Tensor> several) : tensors(std::move(several)) {}  // NOLINT: on purpose

  std::vector<at::Tensor> tensors;
};

/// Maps a tensor of the batch to features. A step strategy may run it on any slice of the tensor.
/// The features of a sample must not depend on the other samples of the slice, except through batch
/// norm statistics. An encoder whose features need no gradient, such as a frozen teacher, runs
/// once.
struct Encoder {
  std::string input = {};  ///< Name of the tensor in the batch, [B, ...].
  /// Maps a slice [b, ...] of the tensor to the features of those samples. It must move the slice
  /// to the device itself, so that a large batch can stay in host memory.
  std::function<Features(const at::Tensor&)> forward = {};
  /// The slice holds token ids [b, L], and no token behind the end token, which has the largest id,
  /// affects the features. Texts may then be sorted by length, and each chunk is trimmed to its
  /// longest text.
  bool trims_text = false;
};

/// A model as a step strategy uses it: encoders, which may run in chunks, and a head, which sees
/// the whole batch. `Inputs` is the argument type of the loss: Embeddings for pairs, or any custom
/// type. pair_step_model() makes a StepModel from a DualEncoder. For other models see
/// docs/guides/extending.md, "A step model by hand".
template <class Inputs = Embeddings>
struct StepModel {
  std::vector<Encoder> encoders = {};  ///< They may share modules and parameters.
  /// Maps the features of the whole batch, one entry per encoder, to the input of the loss. It runs
  /// once per step, in float32 and outside of autocast. It also supplies the scale and bias,
  /// attached to the autograd graph.
  std::function<Inputs(const std::vector<Features>&, const Batch&)> head = {};
  std::vector<at::Tensor> parameters = {};  ///< All parameters that may receive a gradient.
  /// All buffers that a forward may change, such as running statistics. A strategy that runs an
  /// encoder twice leaves in them the values of a single pass.
  std::vector<at::Tensor> buffers = {};
};

/// Deduces Inputs in `StepModel model{encoders, head, parameters, buffers}` from the return type of
/// `head`.
template <class Head, class... Rest>
StepModel(std::vector<Encoder>, Head, Rest...)
    -> StepModel<std::invoke_result_t<Head&, const std::vector<Features>&, const Batch&>>;

/// The environment of a step.
struct StepContext {
  PrecisionPolicy precision = {};
  at::Device device = at::kCPU;
  const LossScaler* scaler = nullptr;  ///< Scales the gradients; not owned.
  /// The ranks over which the strategy sums gradients and agrees on chunk sizes. At its steps 1, 2,
  /// 4, 8, ... the strategy also checks that the loss and the weights are the same on all ranks and
  /// that no two ranks have the same batch. Give the loss the same ranks.
  Ranks ranks = {};
  GradientSyncOptions gradient_sync = {};  ///< Communication of gradients between the ranks.
};

/// Computes the gradients of a batch and adds them to `.grad` of the parameters. The gradients are
/// multiplied by the loss scale and, with several ranks, summed over the ranks. Returns the
/// detached terms of the loss; the total has the same bits on every rank. It is a collective call
/// if there are several ranks.
template <class S> concept StepStrategy = requires(S& step, const Batch& batch) {
  { step(batch) } -> std::same_as<LossTerms>;
};

namespace detail {

template <class T>
inline constexpr bool kIsStepModel = false;
template <class Inputs>
inline constexpr bool kIsStepModel<StepModel<Inputs>> = true;

/// Any type other than a StepModel, passed where a strategy takes a StepModel.
template <class T> concept NotAStepModel = !kIsStepModel<T>;

/// Fails to compile with a single message. Constructors that were not given a StepModel delegate
/// with its result, so that this is the only error.
template <class Model, class Inputs>
[[nodiscard]] StepModel<Inputs> refuse_model() {
  static_assert(
      kIsStepModel<Model>,
      "A step strategy takes a StepModel: pair_step_model(model, device) makes one from a "
      "DualEncoder; see docs/guides/extending.md, A step model by hand");
  return {};
}

/// Returns the terms detached from the autograd graph.
[[nodiscard]] inline LossTerms detached(const LossTerms& terms) {
  LossTerms result(terms.total.detach());
  for (const auto& [name, value] : terms.parts) result.parts.emplace_back(name, value.detach());
  return result;
}

}  // namespace detail
}  // namespace contrapunto
