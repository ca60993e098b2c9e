// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/util/Exception.h>

#include <concepts>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/batch.hpp"
#include "contrapunto/core/embeddings.hpp"
#include "contrapunto/core/gradient_sync_handle.hpp"
#include "contrapunto/core/loss_terms.hpp"
#include "contrapunto/precision/autocast_guard.hpp"
#include "contrapunto/precision/loss_scaler.hpp"
#include "contrapunto/precision/precision_policy.hpp"

namespace contrapunto {

/// What an encoder makes of b samples: one tensor [b, D], or several [b, ...] where the loss needs
/// more than one. Both convert.
struct Features {
  Features() = default;
  Features(at::Tensor one) : tensors{std::move(one)} {}                       // NOLINT: on purpose
  Features(std::vector<at::Tensor> several) : tensors(std::move(several)) {}  // NOLINT: on purpose

  std::vector<at::Tensor> tensors;
};

/// One way from a tensor of the batch to features, which a step strategy runs on any slice of it.
/// What it makes of a sample may not depend on the other samples of the slice, batch norm's
/// statistics excepted.
struct Encoder {
  std::string input = {};  ///< Name of the tensor in the batch, [B, ...].
  /// A slice [b, ...] of it to features of those samples. Moves the slice to the device by itself,
  /// so that a large batch may stay on the host.
  std::function<Features(const at::Tensor&)> forward = {};
  /// The slice is token ids [b, L], and nothing behind the largest id, the end token, reaches the
  /// features: texts may be sorted by length, and each chunk cut behind its longest.
  bool trims_text = false;
};

/// A model as a step strategy sees it.
struct StepModel {
  std::vector<Encoder> encoders = {};  ///< They may share modules and parameters.
  /// Features of the whole batch, an entry per encoder, to what the loss takes. Scale and bias come
  /// from here, with history.
  std::function<Embeddings(const std::vector<Features>&, const Batch&)> embed = {};
  std::vector<at::Tensor> parameters = {};  ///< All that may receive a gradient.
  std::vector<at::Tensor> buffers = {};     ///< Running statistics, for a step that is repeated.
};

/// What surrounds a step.
struct StepContext {
  PrecisionPolicy precision = {};
  at::Device device = at::kCPU;
  const LossScaler* scaler = nullptr;  ///< Scales the gradients; not owned.
  GradientSyncHandle sync = {};        ///< Empty with one rank.
  /// Smallest value over the ranks; empty with one rank. For decisions that all must share.
  std::function<std::int64_t(std::int64_t)> smallest = {};
};

/// Turns a batch into gradients: they are added to `.grad` of the parameters, over ranks summed and
/// multiplied by the loss scale, and the terms of the loss come back without history.
template <class S> concept StepStrategy = requires(S& step, const Batch& batch) {
  { step(batch) } -> std::same_as<LossTerms>;
};

namespace detail {

inline void check_step_model(const StepModel& model, const char* strategy) {
  TORCH_CHECK(!model.encoders.empty() && model.embed, strategy,
              ": the StepModel needs encoders and embed; pair_step_model() makes one of a "
              "DualEncoder");
  for (const auto& encoder : model.encoders)
    TORCH_CHECK(encoder.forward, strategy, ": the encoder of '", encoder.input, "' has no forward");
}

/// The terms without history.
[[nodiscard]] inline LossTerms detached(const LossTerms& terms) {
  LossTerms result(terms.total.detach());
  for (const auto& [name, value] : terms.parts) result.parts.emplace_back(name, value.detach());
  return result;
}

/// The terms of `loss` on the whole of `batch`, with history.
template <class Loss>
[[nodiscard]] LossTerms loss_terms(const StepModel& model, const Loss& loss, const Batch& batch,
                                   const StepContext& context) {
  const AutocastGuard autocast(context.precision, context.device);
  std::vector<Features> features;
  for (const auto& encoder : model.encoders)
    features.push_back(encoder.forward(batch.at(encoder.input)));
  return loss(model.embed(features, batch));
}

/// `loss` times the scale of the scaler, where there is one.
[[nodiscard]] inline at::Tensor scaled(const at::Tensor& loss, const StepContext& context) {
  return context.scaler != nullptr ? context.scaler->scale(loss) : loss;
}

}  // namespace detail
}  // namespace contrapunto
