// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/autograd/memory_meter.hpp"
#include "contrapunto/autograd/recompute_scope.hpp"
#include "contrapunto/autograd/rng_state.hpp"
#include "contrapunto/core/run_facts.hpp"
#include "contrapunto/kernels/free_memory.hpp"
#include "contrapunto/precision/autocast_guard.hpp"
#include "contrapunto/step/choose_chunk_size.hpp"
#include "contrapunto/step/detail/buffer_copies.hpp"
#include "contrapunto/step/detail/chunks.hpp"
#include "contrapunto/step/detail/step_core.hpp"
#include "contrapunto/step/parse_chunk_size.hpp"
#include "contrapunto/step/step_model.hpp"

namespace contrapunto {

struct GradCacheOptions {
  /// Samples that go through a tower at once; 0: measured at the first step, see
  /// `choose_chunk_size`. Memory grows with it, the result does not depend on it. kWholeBatch
  /// is one forward and one backward of the whole batch, as FullBatch.
  std::int64_t chunk_size = 0;
  /// Bytes of activations to keep between the two passes from the second step on, so that the last
  /// chunks of the first pass need no second forward; negative: most of what is free at the first
  /// step. The very last chunk is always kept: its activations are there anyway.
  double keep_bytes = 0.0;
  /// Halve the chunks and repeat the step when memory runs out, with the same result. With several
  /// ranks all repeat it together, for which the host waits once in each step; in the last backward
  /// of a step, which sends gradients, running out of memory is an error.
  bool retry_out_of_memory = true;
};

/// Gradients of the whole batch in the memory of a chunk: the towers run chunk after chunk without
/// a graph, the loss runs once over all features, then the towers run again chunk after chunk to
/// take the gradients of their features back to the weights. Costs a second forward, so 4 units
/// instead of 3; less with kept chunks, with frozen towers, which never run twice, and with texts,
/// which are sorted by length and cut.
///
/// Exact: the second forward draws the random numbers of the first (dropout, patch dropout) and
/// sees the same cast weights. Batch norm normalizes each chunk by the chunk's own statistics, in
/// both passes alike: the gradient is that of this function, and depends on the chunk size, unless
/// the statistics are frozen. Buffers, such as any module's running statistics, end as one pass
/// over the chunks leaves them, so statistics are updated once per chunk, in the order of the
/// chunks. List them in StepModel::buffers.
/// Reference: Gao et al. 2021, https://arxiv.org/abs/2101.06983
template <class Loss, class Inputs = Embeddings>
class GradCache {
 public:
  explicit GradCache(StepModel<Inputs> model, Loss loss = {}, GradCacheOptions options = {},
                     StepContext context = {})
      : core_(std::move(model), std::move(loss), std::move(context), "GradCache"),
        o_(options),
        chunk_size_(options.chunk_size) {
    TORCH_CHECK(o_.chunk_size >= 0, "GradCache: chunk_size (", o_.chunk_size,
                ") must not be negative; 0 has it measured");
  }
  template <detail::NotAStepModel Model>
  GradCache(const Model&, const Loss& loss, GradCacheOptions options = {},
            const StepContext& context = {})
      : GradCache(detail::refuse_model<Model, Inputs>(), loss, options, context) {}

  /// See StepStrategy.
  LossTerms operator()(const Batch& batch) {
    core_.begin(batch);
    if (chunk_size_ == 0) chunk_size_ = choose_chunk_size(model(), batch, context());
    if (chunk_size_ == kWholeBatch) return core_.whole_batch(batch);
    if (!o_.retry_out_of_memory) return step(batch);
    const auto random = RngState::capture(context().device);
    const detail::BufferCopies buffers(model().buffers);
    // Gradients of earlier steps are set aside, so that a step can be begun again.
    std::vector<at::Tensor> earlier;
    for (const auto& parameter : model().parameters)
      earlier.push_back(std::exchange(parameter.mutable_grad(), at::Tensor()));
    for (;;) {
      std::optional<LossTerms> terms;
      may_repeat_ = true;
      const auto failure = detail::out_of_memory_in([&] { terms.emplace(step(batch)); });
      if (!failure) {
        const at::NoGradGuard no_grad;
        for (std::size_t i = 0; i < earlier.size(); ++i) {
          auto& gradient = model().parameters[i].mutable_grad();
          if (earlier[i].defined())
            gradient = gradient.defined() ? earlier[i].add_(gradient) : earlier[i];
        }
        return *std::move(terms);
      }
      TORCH_CHECK(chunk_size_ > 1 && may_repeat_, "GradCache: out of memory with chunks of ",
                  chunk_size_, " samples",
                  core_.over_ranks() ? " on a rank that others wait for; set chunk_size to half"
                                     : "; the weights, one sample or the features do not fit",
                  ". ", *failure);
      chunk_size_ = (chunk_size_ + 1) / 2;
      chunk_bytes_.clear();
      chunks_of_.clear();
      random.restore();
      buffers.restore();
      for (const auto& parameter : model().parameters) parameter.mutable_grad().reset();
    }
  }

  /// Samples in a chunk: as given, as measured, or as memory allowed; 0 before the first step.
  [[nodiscard]] std::int64_t chunk_size() const { return chunk_size_; }

  /// What a plan of the run needs to know.
  [[nodiscard]] StepFacts facts() const {
    if (o_.chunk_size == kWholeBatch) return {.name = "whole batch"};
    return {.name = "GradCache",
            .chunks = o_.chunk_size == 0 ? StepFacts::Chunks::kMeasured : StepFacts::Chunks::kFixed,
            .chunk_size = o_.chunk_size,
            .forward_passes = 2};
  }

  /// Chunks of the last step that needed no second forward, over all encoders.
  [[nodiscard]] std::int64_t chunks_kept() const { return kept_in_step_; }

 private:
  /// What the first pass leaves of an encoder for the second.
  struct Pass {
    detail::Chunking chunking;
    std::vector<RngState> random;                                 // before each chunk
    std::vector<std::optional<std::vector<at::Tensor>>> outputs;  // with graph, where kept
    std::vector<at::Tensor> whole;                                // features of the batch, leaves
    std::vector<bool> trains;                                     // per tensor of the features
  };

  LossTerms step(const Batch& batch) {
    std::vector<Pass> passes;
    kept_in_step_ = 0;
    const bool measured = chunk_bytes_.size() == model().encoders.size();
    {
      const AutocastGuard autocast(context().precision, context().device);
      at::autocast::clear_cache();  // casts of an outer guard may be from before the last update
      for (std::size_t i = 0; i < model().encoders.size(); ++i) passes.push_back(encode(i, batch));
    }
    if (!measured) {
      keep_bytes_ =
          o_.keep_bytes >= 0.0 ? o_.keep_bytes : 0.8 * free_memory_bytes(context().device);
      for (const auto& pass : passes)
        chunks_of_.push_back(static_cast<double>(pass.chunking.chunks.size()));
    }
    may_repeat_ = !core_.over_ranks();  // the others are in the loss
    std::vector<Features> features;
    for (const auto& pass : passes) features.emplace_back(pass.whole);
    std::optional<LossTerms> terms(core_.loss_of(features, batch));
    core_.backward(terms->total);
    const auto result = detail::detached(*terms);
    terms.reset();
    features.clear();

    const auto random = RngState::capture(context().device);
    const detail::BufferCopies buffers(model().buffers);
    {
      const AutocastGuard autocast(context().precision, context().device);
      at::autocast::clear_cache();
      recompute(passes, batch);
    }
    random.restore();
    buffers.restore();
    core_.wait();
    return result;
  }

  /// The first pass of encoder `index`.
  [[nodiscard]] Pass encode(std::size_t index, const Batch& batch) {
    const auto& encoder = model().encoders[index];
    const auto& input = batch.at(encoder.input);
    Pass pass;
    pass.chunking = detail::chunks_of(encoder, input, chunk_size_);
    const auto count = pass.chunking.chunks.size();
    const auto kept = std::min(count, kept_chunks(index, count));
    pass.outputs.resize(count);
    for (std::size_t c = 0; c < count; ++c) {
      const auto& chunk = pass.chunking.chunks[c];
      pass.random.push_back(RngState::capture(context().device));
      const bool keep = c + kept >= count;
      // The first chunk runs with a graph too, to see which features need gradients.
      const at::AutoGradMode graph(keep || c == 0);
      // LibTorch before 2.11 may hand out weights that a chunk without a graph has cast.
      if (keep && c > 1 && c + kept == count) at::autocast::clear_cache();
      const bool measure = c == 0 && chunk_bytes_.size() == index;
      const auto meter = measure ? std::make_optional<MemoryMeter>() : std::nullopt;
      auto outputs = detail::run_encoder(encoder, pass.chunking.input(input, chunk));
      if (measure)
        chunk_bytes_.push_back(static_cast<double>(meter->current_bytes(context().device.type())));
      check(outputs, encoder, chunk);
      const at::NoGradGuard no_grad;
      for (std::size_t t = 0; t < outputs.size(); ++t) {
        if (c == 0) {
          auto shape = outputs[t].sizes().vec();
          shape.front() = input.size(0);
          pass.whole.push_back(at::empty(shape, outputs[t].options().requires_grad(false)));
          pass.trains.push_back(outputs[t].requires_grad());
        }
        pass.chunking.put(pass.whole[t], outputs[t].detach(), chunk);
      }
      if (keep && any(pass.trains)) {
        pass.outputs[c] = std::move(outputs);
        ++kept_in_step_;
      }
    }
    for (std::size_t t = 0; t < pass.whole.size(); ++t)
      pass.whole[t].set_requires_grad(pass.trains[t]);
    return pass;
  }

  /// How many of the last chunks of encoder `index` keep their graphs. Memory goes to the last
  /// encoders first; before it was measured, only the very last chunk is kept.
  [[nodiscard]] std::size_t kept_chunks(std::size_t index, std::size_t count) const {
    const auto encoders = model().encoders.size();
    const std::size_t last = index + 1 == encoders ? 1 : 0;
    if (chunk_bytes_.size() < encoders || keep_bytes_ <= 0.0) return last;
    double left = keep_bytes_;
    for (auto e = encoders; e-- > index + 1;) left -= chunk_bytes_[e] * chunks_of_[e];
    const auto fit = std::floor(std::max(0.0, left) / std::max(1.0, chunk_bytes_[index]));
    return std::max(last, static_cast<std::size_t>(std::min(fit, static_cast<double>(count))));
  }

  /// Second forwards and backwards. With several ranks the first chunks of all encoders go back
  /// together at the end, so that each gradient is complete, and on its way to the others, in that
  /// one backward.
  void recompute(std::vector<Pass>& passes, const Batch& batch) {
    std::vector<at::Tensor> roots, gradients;
    if (!core_.over_ranks()) return recompute_chunks(passes, batch, roots, gradients);
    if (o_.retry_out_of_memory) {
      const auto failure =
          detail::out_of_memory_in([&] { recompute_chunks(passes, batch, roots, gradients); });
      may_repeat_ = context().ranks.all_reduce_min(failure ? 0 : 1) == 0;
      TORCH_CHECK_WITH(OutOfMemoryError, !may_repeat_,
                       failure.value_or("another rank ran out of memory"));
    } else {
      recompute_chunks(passes, batch, roots, gradients);
    }
    core_.begin_overlap();
    go_back(roots, gradients);
  }

  /// All of it in one process; with several ranks up to the backward of the first chunks, which is
  /// left in `roots` and `gradients`.
  void recompute_chunks(std::vector<Pass>& passes, const Batch& batch,
                        std::vector<at::Tensor>& roots, std::vector<at::Tensor>& gradients) {
    const auto back = [&](Pass& pass, std::size_t c, bool now) {
      const auto& chunk = pass.chunking.chunks[c];
      auto outputs = std::exchange(pass.outputs[c], std::nullopt);
      if (!outputs) {
        const RecomputeScope scope;
        pass.random[c].restore();
        const auto& encoder = model().encoders[static_cast<std::size_t>(&pass - passes.data())];
        outputs = detail::run_encoder(encoder, pass.chunking.input(batch.at(encoder.input), chunk));
      }
      for (std::size_t t = 0; t < outputs->size(); ++t) {
        if (!pass.trains[t] || !pass.whole[t].grad().defined()) continue;
        roots.push_back((*outputs)[t]);
        gradients.push_back(pass.chunking.rows(pass.whole[t].grad(), chunk));
      }
      if (now) go_back(roots, gradients);
    };
    // Kept chunks first: they free their memory for the others.
    for (auto it = passes.rbegin(); it != passes.rend(); ++it) {
      const auto count = it->chunking.chunks.size();
      if (!any(it->trains)) continue;
      for (std::size_t c = count; c-- > 1;) back(*it, c, true);
    }
    // The first chunks end the step: they hold the longest texts.
    for (auto& pass : passes)
      if (any(pass.trains)) back(pass, 0, !core_.over_ranks());
  }

  static void go_back(std::vector<at::Tensor>& roots, std::vector<at::Tensor>& gradients) {
    if (!roots.empty()) torch::autograd::backward(roots, gradients);
    roots.clear();
    gradients.clear();
  }

  static bool any(const std::vector<bool>& flags) {
    return std::find(flags.begin(), flags.end(), true) != flags.end();
  }

  static void check(const std::vector<at::Tensor>& outputs, const Encoder& encoder,
                    const detail::Chunk& chunk) {
    for (const auto& output : outputs)
      TORCH_CHECK(output.dim() >= 1 && output.size(0) == chunk.count, "GradCache: the encoder of '",
                  encoder.input, "' made ", output.sizes(), " of ", chunk.count,
                  " samples; features must be [samples, ...]");
  }

  [[nodiscard]] const StepModel<Inputs>& model() const { return core_.model(); }
  [[nodiscard]] const StepContext& context() const { return core_.context(); }

  detail::StepCore<Loss, Inputs> core_;
  GradCacheOptions o_;
  std::int64_t chunk_size_;
  std::vector<double> chunk_bytes_;  // of the graph of a chunk, per encoder, once measured
  std::vector<double> chunks_of_;    // number of chunks, per encoder, likewise
  double keep_bytes_ = 0.0;
  std::int64_t kept_in_step_ = 0;
  bool may_repeat_ = true;  ///< No other rank would wait for this one, or all repeat the step.
};

}  // namespace contrapunto
