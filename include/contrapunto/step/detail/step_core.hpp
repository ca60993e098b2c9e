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

/// The features of a slice, 16-bit ones in float32.
[[nodiscard]] inline std::vector<at::Tensor> run_encoder(const Encoder& encoder,
                                                         const at::Tensor& slice) {
  auto outputs = encoder.forward(slice).tensors;
  for (auto& output : outputs)
    if (output.is_floating_point()) output = at_least_float32(output);
  return outputs;
}

/// What all step strategies share: the model, the loss, what surrounds a step, and what the ranks
/// do together.
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
                ": the StepModel needs encoders and a head; pair_step_model() makes one of a "
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

  /// Call first in a step.
  void begin(const Batch& batch) {
    if (!over_ranks()) return;
    agreement_.begin(context_.ranks, batch, model_.parameters);
    if (!sync_)
      sync_ =
          std::make_unique<GradientSync>(model_.parameters, context_.ranks, context_.gradient_sync);
  }

  /// The features of the whole of `batch`, with history.
  [[nodiscard]] std::vector<Features> encode(const Batch& batch) const {
    const AutocastGuard autocast(context_.precision, context_.device);
    std::vector<Features> features;
    for (const auto& encoder : model_.encoders)
      features.emplace_back(run_encoder(encoder, batch.at(encoder.input)));
    return features;
  }

  /// The loss of the whole batch, of all ranks, with history: what this rank differentiates is its
  /// share.
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

  /// The loss on this rank's `batch` alone, where autocast is off.
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

  /// `loss` times the scale of the scaler, where there is one, is differentiated.
  void backward(const at::Tensor& loss) const {
    (context_.scaler != nullptr ? context_.scaler->scale(loss) : loss).backward();
  }

  /// One forward and one backward of the whole of `batch`; gradients are then those of all ranks.
  [[nodiscard]] LossTerms whole_batch(const Batch& batch) const {
    const auto terms = loss_of(encode(batch), batch);
    begin_overlap();
    backward(terms.total);
    wait();
    return detached(terms);
  }

  /// Around the last backward of a step.
  void begin_overlap() const {
    if (sync_) sync_->begin_overlap();
  }
  void wait() const {
    if (sync_) sync_->wait();
  }

  // What follows is for separable losses.

  /// Samples of all ranks, [], float64.
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

  /// The values summed over the ranks, see all_reduce_value.
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
  std::unique_ptr<GradientSync> sync_;  // made at the first step over ranks
};

}  // namespace contrapunto::detail
