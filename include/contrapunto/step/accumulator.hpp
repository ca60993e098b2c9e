// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/run_facts.hpp"
#include "contrapunto/step/choose_chunk_size.hpp"
#include "contrapunto/step/detail/step_core.hpp"
#include "contrapunto/step/grad_cache.hpp"
#include "contrapunto/step/parse_chunk_size.hpp"
#include "contrapunto/step/step_model.hpp"

namespace contrapunto {

struct AccumulatorOptions {
  /// Samples of a micro-batch, whose activations are in memory at the same time. 0 measures a
  /// suitable size in the first step; see `choose_chunk_size`. kWholeBatch is the whole batch.
  std::int64_t micro_batch = 256;
};

/// Computes the gradients of a batch from micro-batches. A separable loss (SeparableLoss) is
/// computed on each micro-batch alone and averaged over all samples of all ranks, with one forward
/// and one backward per micro-batch. Any other loss needs the features of the whole batch: the mean
/// of the losses of micro-batches would be a different objective with fewer negatives. For such a
/// loss the Accumulator delegates to GradCache with chunks of `micro_batch` samples, which gives
/// the exact gradient at the cost of a second forward. Raises if `micro_batch` is negative, and
/// with a separable loss if the batch is empty.
template <class Loss, class Inputs = Embeddings>
class Accumulator {
 public:
  /// Raises if the model has no encoders or no head, or if the ranks of the loss and of `context`
  /// differ.
  explicit Accumulator(StepModel<Inputs> model, Loss loss = {}, AccumulatorOptions options = {},
                       StepContext context = {})
      : o_(checked(options)),
        engine_(make(std::move(model), std::move(loss), std::move(context))) {}
  template <detail::NotAStepModel Model>
  Accumulator(const Model&, const Loss& loss, AccumulatorOptions options = {},
              const StepContext& context = {})
      : Accumulator(detail::refuse_model<Model, Inputs>(), loss, options, context) {}

  /// Implements StepStrategy.
  LossTerms operator()(const Batch& batch) {
    if constexpr (SeparableLoss<Loss>)
      return accumulate(batch);
    else
      return engine_(batch);
  }

  /// Takes the size of micro-batches of the options, and measures it in the next step if it is to
  /// be measured. Call it before inputs of another size come, as in another phase of a training.
  void measure_again() {
    if constexpr (SeparableLoss<Loss>)
      micro_batch_ = o_.micro_batch;
    else
      engine_.measure_again();
  }

  /// The properties of this strategy that a plan of the run uses.
  [[nodiscard]] StepFacts facts() const {
    if constexpr (SeparableLoss<Loss>) {
      if (o_.micro_batch == kWholeBatch) return {.name = "whole batch"};
      return {
          .name = "Accumulator",
          .chunks = o_.micro_batch == 0 ? StepFacts::Chunks::kMeasured : StepFacts::Chunks::kFixed,
          .chunk_size = o_.micro_batch};
    } else {
      return engine_.facts();
    }
  }

 private:
  using Engine = std::conditional_t<SeparableLoss<Loss>, detail::StepCore<Loss, Inputs>,
                                    GradCache<Loss, Inputs>>;

  static AccumulatorOptions checked(AccumulatorOptions options) {
    TORCH_CHECK(options.micro_batch >= 0, "Accumulator: micro_batch (", options.micro_batch,
                ") must not be negative; 0 measures a suitable size");
    return options;
  }

  [[nodiscard]] Engine make(StepModel<Inputs> model, Loss loss, StepContext context) const {
    if constexpr (SeparableLoss<Loss>)
      return Engine(std::move(model), std::move(loss), std::move(context), "Accumulator");
    else
      return Engine(std::move(model), std::move(loss), {.chunk_size = o_.micro_batch},
                    std::move(context));
  }

  [[nodiscard]] LossTerms accumulate(const Batch& batch) {
    const auto samples = batch.size();
    TORCH_CHECK(samples > 0, "Accumulator: the batch is empty");
    engine_.begin(batch);
    if (micro_batch_ == 0)
      micro_batch_ = choose_chunk_size(engine_.model(), batch, engine_.context());
    const auto all = engine_.samples_of_all(samples);
    std::optional<LossTerms> sum;
    for (std::int64_t begin = 0, count = 0; begin < samples; begin += count) {
      count = std::min(micro_batch_, samples - begin);
      const Batch part = slice(batch, begin, count);
      const auto terms = engine_.weighted(engine_.evaluate(engine_.encode(part), part),
                                          engine_.fraction_of(count, all));
      if (begin + count == samples) engine_.begin_overlap();
      engine_.backward(terms.total);
      add(sum, detail::detached(terms));
    }
    engine_.wait();
    auto result = engine_.summed(*std::move(sum));
    engine_.compare_loss(result.total);
    return result;
  }

  static Batch slice(const Batch& batch, std::int64_t begin, std::int64_t count) {
    Batch part;
    for (const auto& [name, tensor] : batch.tensors)
      part.tensors.emplace(name, tensor.narrow(0, begin, count));
    if (!batch.keys.empty())
      part.keys.assign(batch.keys.begin() + begin, batch.keys.begin() + begin + count);
    return part;
  }

  static void add(std::optional<LossTerms>& sum, const LossTerms& terms) {
    if (!sum) {
      sum.emplace(terms);
      return;
    }
    sum->total = sum->total + terms.total;
    for (std::size_t i = 0; i < sum->parts.size(); ++i)
      sum->parts[i].second = sum->parts[i].second + terms.parts[i].second;
  }

  AccumulatorOptions o_;
  Engine engine_;
  std::int64_t micro_batch_ = o_.micro_batch;
};

}  // namespace contrapunto
