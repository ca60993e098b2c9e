// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/gates.hpp"
#include "contrapunto/step/grad_cache.hpp"
#include "contrapunto/step/step_model.hpp"

namespace contrapunto {

/// A loss that is a mean over samples, each with no other sample in it: it says so by a static
/// member `kSeparable` that is true.
template <class L> concept SeparableLoss = requires {
  requires L::kSeparable;
};

struct AccumulatorOptions {
  std::int64_t micro_batch = 256;  ///< Samples whose activations are in memory at once.
  std::int64_t ranks = 1;          ///< Of the run; a separable loss is divided by it.
};

/// Gradients of a batch out of micro-batches. A separable loss is computed on each by itself and
/// averaged, in one forward and backward of each. Any other needs all features at once, and mean
/// losses of micro-batches would train another objective, with fewer negatives: it gets the exact
/// gradient by GradCache with chunks of `micro_batch`, at the price of a second forward.
template <class Loss>
class Accumulator {
 public:
  explicit Accumulator(StepModel model, Loss loss = {}, AccumulatorOptions options = {},
                       StepContext context = {})
      : model_(std::move(model)),
        loss_(std::move(loss)),
        o_(options),
        context_(std::move(context)) {
    check_loss<Loss>();
    detail::check_step_model(model_, "Accumulator");
    TORCH_CHECK(o_.micro_batch > 0 && o_.ranks > 0, "Accumulator: micro_batch (", o_.micro_batch,
                ") and ranks (", o_.ranks, ") must be positive");
    if constexpr (!SeparableLoss<Loss>)
      cache_.emplace(model_, loss_, GradCacheOptions{.chunk_size = o_.micro_batch}, context_);
  }

  /// See StepStrategy.
  LossTerms operator()(const Batch& batch) {
    if constexpr (SeparableLoss<Loss>)
      return accumulate(batch);
    else
      return (*cache_)(batch);
  }

 private:
  [[nodiscard]] LossTerms accumulate(const Batch& batch) {
    const auto samples = batch.size();
    TORCH_CHECK(samples > 0, "Accumulator: the batch is empty");
    std::optional<LossTerms> sum;
    for (std::int64_t begin = 0; begin < samples; begin += o_.micro_batch) {
      const auto count = std::min(o_.micro_batch, samples - begin);
      const double share = static_cast<double>(count) / static_cast<double>(samples * o_.ranks);
      const Batch part = slice(batch, begin, count);
      const auto terms = detail::loss_terms(model_, loss_, part, context_);
      if (context_.sync && begin + count == samples) context_.sync.arm();
      detail::scaled(terms.total * share, context_).backward();
      add(sum, terms, share);
    }
    if (context_.sync) context_.sync.finish();
    return *sum;
  }

  static Batch slice(const Batch& batch, std::int64_t begin, std::int64_t count) {
    Batch part;
    for (const auto& [name, tensor] : batch.tensors)
      part.tensors.emplace(name, tensor.narrow(0, begin, count));
    if (!batch.keys.empty())
      part.keys.assign(batch.keys.begin() + begin, batch.keys.begin() + begin + count);
    return part;
  }

  static void add(std::optional<LossTerms>& sum, const LossTerms& terms, double share) {
    if (!sum) {
      sum.emplace(terms.total.detach() * share);
      for (const auto& [name, value] : terms.parts)
        sum->parts.emplace_back(name, value.detach() * share);
      return;
    }
    sum->total.add_(terms.total.detach(), share);
    for (std::size_t i = 0; i < terms.parts.size(); ++i)
      sum->parts[i].second.add_(terms.parts[i].second.detach(), share);
  }

  StepModel model_;
  Loss loss_;
  AccumulatorOptions o_;
  StepContext context_;
  std::optional<GradCache<Loss>> cache_;
};

}  // namespace contrapunto
