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

/// What an encoder makes of b samples: one tensor [b, ...], or several where the head needs more
/// than one. Both convert. Step strategies hand 16-bit features to the head in float32.
struct Features {
  Features() = default;
  Features(at::Tensor one) : tensors{std::move(one)} {}                       // NOLINT: on purpose
  Features(std::vector<at::Tensor> several) : tensors(std::move(several)) {}  // NOLINT: on purpose

  std::vector<at::Tensor> tensors;
};

/// One way from a tensor of the batch to features, which a step strategy runs on any slice of it.
/// What it makes of a sample may not depend on the other samples of the slice, batch norm's
/// statistics excepted. An encoder whose features need no gradient, such as a frozen teacher, runs
/// once.
struct Encoder {
  std::string input = {};  ///< Name of the tensor in the batch, [B, ...].
  /// Turns a slice [b, ...] of it into features of those samples. Moves the slice to the device by
  /// itself, so that a large batch may stay on the host.
  std::function<Features(const at::Tensor&)> forward = {};
  /// The slice is token ids [b, L], and nothing behind the largest id, the end token, reaches the
  /// features: texts may be sorted by length, and each chunk cut behind its longest.
  bool trims_text = false;
};

/// A model as a step strategy sees it: encoders that may run in chunks, and a head that sees the
/// whole batch. `Inputs` is what the loss takes: Embeddings for pairs, or any type of one's own.
/// pair_step_model() makes one of a DualEncoder; docs/guides/extending.md, "A step model by hand".
template <class Inputs = Embeddings>
struct StepModel {
  std::vector<Encoder> encoders = {};  ///< They may share modules and parameters.
  /// Features of the whole batch, an entry per encoder, to what the loss takes. It runs once per
  /// step, in float32 and outside of autocast. Scale and bias come from here, with history.
  std::function<Inputs(const std::vector<Features>&, const Batch&)> head = {};
  std::vector<at::Tensor> parameters = {};  ///< All that may receive a gradient.
  /// All that a forward may change, such as running statistics. A strategy that runs an encoder
  /// twice leaves in them what one pass leaves.
  std::vector<at::Tensor> buffers = {};
};

/// `StepModel model{encoders, head, parameters, buffers}` takes Inputs from what `head` returns.
template <class Head, class... Rest>
StepModel(std::vector<Encoder>, Head, Rest...)
    -> StepModel<std::invoke_result_t<Head&, const std::vector<Features>&, const Batch&>>;

/// What surrounds a step.
struct StepContext {
  PrecisionPolicy precision = {};
  at::Device device = at::kCPU;
  const LossScaler* scaler = nullptr;  ///< Scales the gradients; not owned.
  /// The strategy sums gradients over them, agrees with them on chunk sizes, and compares with them
  /// at its steps 1, 2, 4, 8, ... what must agree: the loss, the weights, and that no two ranks
  /// have the same batch. Give the loss the same ranks.
  Ranks ranks = {};
  GradientSyncOptions gradient_sync = {};  ///< How gradients travel between the ranks.
};

/// Turns a batch into gradients: they are added to `.grad` of the parameters, over ranks summed and
/// multiplied by the loss scale, and the terms of the loss come back without history, the total
/// with the same bits on every rank. Collective with several ranks.
template <class S> concept StepStrategy = requires(S& step, const Batch& batch) {
  { step(batch) } -> std::same_as<LossTerms>;
};

namespace detail {

template <class T>
inline constexpr bool kIsStepModel = false;
template <class Inputs>
inline constexpr bool kIsStepModel<StepModel<Inputs>> = true;

/// Something else where a strategy takes a StepModel.
template <class T> concept NotAStepModel = !kIsStepModel<T>;

/// Stops the compiler with one sentence. Constructors that were given no StepModel delegate with
/// its result, so that this is the only error.
template <class Model, class Inputs>
[[nodiscard]] StepModel<Inputs> refuse_model() {
  static_assert(kIsStepModel<Model>,
                "A step strategy takes a StepModel: pair_step_model(model, device) makes one of a "
                "DualEncoder; see docs/guides/extending.md, A step model by hand");
  return {};
}

/// The terms without history.
[[nodiscard]] inline LossTerms detached(const LossTerms& terms) {
  LossTerms result(terms.total.detach());
  for (const auto& [name, value] : terms.parts) result.parts.emplace_back(name, value.detach());
  return result;
}

}  // namespace detail
}  // namespace contrapunto
