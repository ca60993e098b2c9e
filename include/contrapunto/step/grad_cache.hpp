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
  /// Samples that go through an encoder at once. 0 measures a suitable size in the first step; see
  /// `choose_chunk_size`. Memory use grows with the chunk size, but the result does not depend on
  /// it. kWholeBatch runs one forward and one backward of the whole batch, as FullBatch does.
  std::int64_t chunk_size = 0;
  /// Bytes of activations to keep between the two passes, from the second step on, so that the last
  /// chunks of the first pass need no second forward. A negative value uses most of the memory that
  /// is free in the first step. The very last chunk is always kept because its activations are
  /// already in memory.
  double keep_bytes = 0.0;
  /// Whether to halve the chunks and repeat the step when memory runs out. The result is the same.
  /// With several ranks a rank repeats the first pass alone. If the second pass fails on any rank,
  /// all ranks repeat the step together, for which the host waits once in each step. With several
  /// ranks it is an error to run out of memory in the loss or in the last backward of a step, which
  /// communicates gradients.
  bool retry_out_of_memory = true;
};

/// Computes the gradients of the whole batch with the activation memory of one chunk. The encoders
/// process the chunks without an autograd graph, the loss runs once on all features, and the
/// encoders process the chunks again to backpropagate the gradients of their features. The second
/// forward raises the cost of a step from 3 units to 4, if a forward costs 1 and a backward 2. It
/// costs less with kept chunks, with frozen encoders, which never run twice, and with texts, which
/// are sorted by length and trimmed.
///
/// The gradients are exact: the second forward uses the random numbers of the first (dropout, patch
/// dropout) and the same cast weights. Batch norm normalizes each chunk by the statistics of that
/// chunk in both passes. The gradient is exact for this function, which depends on the chunk size
/// unless the statistics are frozen. Buffers, such as the running statistics of any module, end
/// with the values that one pass over the chunks leaves. Running statistics are therefore updated
/// once per chunk, in the order of the chunks. List the buffers in StepModel::buffers.
/// Reference: Gao et al. 2021, https://arxiv.org/abs/2101.06983
template <class Loss, class Inputs = Embeddings>
class GradCache {
 public:
  /// Raises if `chunk_size` is negative, if the model has no encoders or no head, or if the ranks
  /// of the loss and of `context` differ.
  explicit GradCache(StepModel<Inputs> model, Loss loss = {}, GradCacheOptions options = {},
                     StepContext context = {})
      : core_(std::move(model), std::move(loss), std::move(context), "GradCache"),
        o_(options),
        chunk_size_(options.chunk_size) {
    TORCH_CHECK(o_.chunk_size >= 0, "GradCache: chunk_size (", o_.chunk_size,
                ") must not be negative; 0 measures a suitable size");
  }
  template <detail::NotAStepModel Model>
  GradCache(const Model&, const Loss& loss, GradCacheOptions options = {},
            const StepContext& context = {})
      : GradCache(detail::refuse_model<Model, Inputs>(), loss, options, context) {}

  /// Implements StepStrategy.
  LossTerms operator()(const Batch& batch) {
    core_.begin(batch);
    if (chunk_size_ == 0) chunk_size_ = choose_chunk_size(model(), batch, context());
    if (chunk_size_ == kWholeBatch) return core_.whole_batch(batch);
    if (!o_.retry_out_of_memory) return step(batch);
    const auto random = RngState::capture(context().device);
    const detail::BufferCopies buffers(model().buffers);
    // Set gradients of earlier steps aside, so that the step can be repeated.
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
                  chunk_size_ > 1
                      ? " on a rank that the other ranks wait for; halve chunk_size"
                      : "; the weights, a single sample or the features of the batch do not fit",
                  ". ", *failure);
      chunk_size_ = (chunk_size_ + 1) / 2;
      chunk_bytes_.clear();
      chunks_of_.clear();
      random.restore();
      buffers.restore();
      for (const auto& parameter : model().parameters) parameter.mutable_grad().reset();
    }
  }

  /// Samples per chunk: as given, as measured, or as reduced when memory ran out. 0 before the
  /// first step if the size is measured.
  [[nodiscard]] std::int64_t chunk_size() const { return chunk_size_; }

  /// Takes the chunk size of the options, and measures in the next step what is to be measured.
  /// Call it before inputs of another size come, as in another phase of a training.
  void measure_again() {
    chunk_size_ = o_.chunk_size;
    chunk_bytes_.clear();
    chunks_of_.clear();
  }

  /// The properties of this strategy that a plan of the run uses.
  [[nodiscard]] StepFacts facts() const {
    if (o_.chunk_size == kWholeBatch) return {.name = "whole batch"};
    return {.name = "GradCache",
            .chunks = o_.chunk_size == 0 ? StepFacts::Chunks::kMeasured : StepFacts::Chunks::kFixed,
            .chunk_size = o_.chunk_size,
            .forward_passes = 2};
  }

  /// Number of chunks in the last step that needed no second forward, over all encoders.
  [[nodiscard]] std::int64_t chunks_kept() const { return kept_in_step_; }

 private:
  /// State of an encoder that the first pass saves for the second.
  struct Pass {
    detail::Chunking chunking;
    std::vector<RngState> random;  // State before each chunk.
    /// Outputs with their graph, for kept chunks.
    std::vector<std::optional<std::vector<at::Tensor>>> outputs;
    std::vector<at::Tensor> whole;  // Features of the batch, as leaves.
    std::vector<bool> trains;       // Per feature tensor.
  };

  LossTerms step(const Batch& batch) {
    std::vector<Pass> passes;
    kept_in_step_ = 0;
    const bool measured = chunk_bytes_.size() == model().encoders.size();
    {
      const AutocastGuard autocast(context().precision, context().device);
      at::autocast::clear_cache();  // An outer guard may have cached older weights.
      for (std::size_t i = 0; i < model().encoders.size(); ++i) passes.push_back(encode(i, batch));
    }
    if (!measured) {
      keep_bytes_ =
          o_.keep_bytes >= 0.0 ? o_.keep_bytes : 0.8 * free_memory_bytes(context().device);
      for (const auto& pass : passes)
        chunks_of_.push_back(static_cast<double>(pass.chunking.chunks.size()));
    }
    may_repeat_ = !core_.over_ranks();  // Other ranks may already be in the loss.
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

  /// Runs the first pass of encoder `index`.
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
      // The first chunk also runs with a graph, which shows which features need gradients.
      const at::AutoGradMode graph(keep || c == 0);
      // LibTorch before 2.11 may return cached weights that a chunk without a graph has cast.
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

  /// Returns how many of the last chunks of encoder `index` keep their graphs. The memory is given
  /// to the last encoders first. Before it has been measured, only the very last chunk is kept.
  [[nodiscard]] std::size_t kept_chunks(std::size_t index, std::size_t count) const {
    const auto encoders = model().encoders.size();
    const std::size_t last = index + 1 == encoders ? 1 : 0;
    if (chunk_bytes_.size() < encoders || keep_bytes_ <= 0.0) return last;
    double left = keep_bytes_;
    for (auto e = encoders; e-- > index + 1;) left -= chunk_bytes_[e] * chunks_of_[e];
    const auto fit = std::floor(std::max(0.0, left) / std::max(1.0, chunk_bytes_[index]));
    return std::max(last, static_cast<std::size_t>(std::min(fit, static_cast<double>(count))));
  }

  /// Runs the second forwards and the backwards. With several ranks the first chunks of all
  /// encoders are backpropagated together at the end, so that this one backward completes each
  /// gradient and overlaps with its communication.
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

  /// Does all of this work in one process. With several ranks it stops before the backward of the
  /// first chunks, whose outputs and gradients are left in `roots` and `gradients`.
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
    // Kept chunks come first, which frees their memory for the others.
    for (auto it = passes.rbegin(); it != passes.rend(); ++it) {
      const auto count = it->chunking.chunks.size();
      if (!any(it->trains)) continue;
      for (std::size_t c = count; c-- > 1;) back(*it, c, true);
    }
    // The first chunks, which hold the longest texts, come last.
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
  std::vector<double> chunk_bytes_;  // Measured size of a chunk's graph, per encoder.
  std::vector<double> chunks_of_;    // Number of chunks, per encoder, when measured.
  double keep_bytes_ = 0.0;
  std::int64_t kept_in_step_ = 0;
  bool may_repeat_ = true;  // False while other ranks depend on this attempt.
};

}  // namespace contrapunto
