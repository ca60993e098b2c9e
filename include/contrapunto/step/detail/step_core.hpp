// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <c10/util/Exception.h>

#include <concepts>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/autograd/no_autocast.hpp"
#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/gates.hpp"
#include "contrapunto/core/unit_rows.hpp"
#include "contrapunto/distributed/all_reduce_value.hpp"
#include "contrapunto/distributed/gradient_sync.hpp"
#include "contrapunto/precision/autocast_guard.hpp"
#include "contrapunto/step/detail/rank_agreement.hpp"
#include "contrapunto/step/step_model.hpp"

namespace contrapunto::detail {

/// Runs the encoder on a slice. Returns its features, with 16-bit features converted to float32.
[[nodiscard]] inline std::vector<at::Tensor> run_encoder(const Encoder& encoder,
                                                         const at::Tensor& slice) {
  auto outputs = encoder.forward(slice).tensors;
  for (auto& output : outputs)
    if (output.is_floating_point()) output = at_least_float32(output);
  return outputs;
}

/// The part that all step strategies share: the model, the loss, the context and the communication
/// between ranks.
template <class Loss, class Inputs>
class StepCore {
 public:
  StepCore(StepModel<Inputs> model, Loss loss, StepContext context, std::string_view strategy)
      : model_(std::move(model)),
        loss_(std::move(loss)),
        context_(std::move(context)),
        agreement_(strategy) {
    check_loss<Loss, Inputs>();
    TORCH_CHECK(!model_.encoders.empty() && model_.head, strategy,
                ": the StepModel needs encoders and a head; pair_step_model() makes one from a "
                "DualEncoder");
    for (const auto& encoder : model_.encoders)
      TORCH_CHECK(encoder.forward, strategy, ": the encoder of '", encoder.input,
                  "' has no forward");
    if constexpr (requires {
                    { loss_.ranks() } -> std::convertible_to<Ranks>;
                  })
      TORCH_CHECK(loss_.ranks().size() == context_.ranks.size() &&
                      loss_.ranks().rank() == context_.ranks.rank(),
                  strategy, ": the loss has ", loss_.ranks().size(),
                  " ranks, StepContext::ranks has ", context_.ranks.size(),
                  "; give both the same, as in TiledInfoNce loss({}, ranks) and StepContext{.ranks "
                  "= ranks}");
  }

  [[nodiscard]] const StepModel<Inputs>& model() const { return model_; }
  [[nodiscard]] const StepContext& context() const { return context_; }
  [[nodiscard]] bool over_ranks() const { return context_.ranks.size() > 1; }

  /// Call this first in each step.
  void begin(const Batch& batch) {
    if (!over_ranks()) return;
    agreement_.begin(context_.ranks, batch, model_.parameters);
    if (!sync_)
      sync_ =
          std::make_unique<GradientSync>(model_.parameters, context_.ranks, context_.gradient_sync);
  }

  /// Returns the features of all of `batch`, attached to the autograd graph.
  [[nodiscard]] std::vector<Features> encode(const Batch& batch) const {
    const AutocastGuard autocast(context_.precision, context_.device);
    std::vector<Features> features;
    for (const auto& encoder : model_.encoders)
      features.emplace_back(run_encoder(encoder, batch.at(encoder.input)));
    return features;
  }

  /// Returns the loss of the whole batch over all ranks, attached to the autograd graph.
  /// Backpropagating it gives this rank's share of the gradient.
  [[nodiscard]] LossTerms loss_of(const std::vector<Features>& features, const Batch& batch) const {
    auto terms = evaluate(features, batch);
    if constexpr (SeparableLoss<Loss>)
      if (over_ranks()) {
        const auto fraction = fraction_of(batch.size(), samples_of_all(batch.size()));
        terms = summed(weighted(terms, fraction));
      }
    agreement_.compare_loss(context_.ranks, terms.total);
    return terms;
  }

  /// Returns the loss on this rank's `batch` alone. Autocast is off in the head and the loss.
  [[nodiscard]] LossTerms evaluate(const std::vector<Features>& features,
                                   const Batch& batch) const {
    const NoAutocast no_autocast;
    const Inputs inputs = model_.head(features, batch);
    if constexpr (requires {
                    { loss_(inputs, batch) } -> std::convertible_to<LossTerms>;
                  })
      return loss_(inputs, batch);
    else
      return loss_(inputs);
  }

  /// Backpropagates `loss`, multiplied by the loss scale if there is a scaler.
  void backward(const at::Tensor& loss) const {
    (context_.scaler != nullptr ? context_.scaler->scale(loss) : loss).backward();
  }

  /// Runs one forward and one backward of all of `batch`. With several ranks the gradients are then
  /// summed over the ranks.
  [[nodiscard]] LossTerms whole_batch(const Batch& batch) const {
    const auto terms = loss_of(encode(batch), batch);
    begin_overlap();
    backward(terms.total);
    wait();
    return detached(terms);
  }

  /// Call before the last backward of a step; call wait() after it.
  void begin_overlap() const {
    if (sync_) sync_->begin_overlap();
  }
  void wait() const {
    if (sync_) sync_->wait();
  }

  // The following functions are for separable losses.

  /// Returns the number of samples of all ranks, [], float64.
  [[nodiscard]] at::Tensor samples_of_all(std::int64_t samples) const {
    auto all = at::full({}, static_cast<double>(samples),
                        at::TensorOptions(at::kDouble).device(context_.device));
    context_.ranks.all_reduce_sum_(all);
    return all;
  }
  [[nodiscard]] static at::Tensor fraction_of(std::int64_t samples, const at::Tensor& all) {
    return all.reciprocal() * static_cast<double>(samples);
  }

  [[nodiscard]] static LossTerms weighted(const LossTerms& terms, const at::Tensor& weight) {
    LossTerms result(terms.total * weight.to(terms.total.scalar_type()));
    for (const auto& [name, value] : terms.parts)
      result.parts.emplace_back(name, value.detach() * weight.to(value.scalar_type()));
    return result;
  }

  /// Sums the values over the ranks; see all_reduce_value.
  [[nodiscard]] LossTerms summed(LossTerms terms) const {
    terms.total = all_reduce_value(terms.total, context_.ranks);
    for (auto& [_, value] : terms.parts) value = all_reduce_value(value.detach(), context_.ranks);
    return terms;
  }

  void compare_loss(const at::Tensor& total) const {
    agreement_.compare_loss(context_.ranks, total);
  }

 private:
  StepModel<Inputs> model_;
  Loss loss_;
  StepContext context_;
  RankAgreement agreement_;
  std::unique_ptr<GradientSync> sync_;  // Created in the first step with several ranks.
};

}  // namespace contrapunto::detail
