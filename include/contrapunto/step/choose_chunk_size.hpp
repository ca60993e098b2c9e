// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/ones_like.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/autograd/memory_meter.hpp"
#include "contrapunto/autograd/recompute_scope.hpp"
#include "contrapunto/autograd/rng_state.hpp"
#include "contrapunto/kernels/free_memory.hpp"
#include "contrapunto/precision/autocast_guard.hpp"
#include "contrapunto/step/detail/buffer_copies.hpp"
#include "contrapunto/step/detail/chunks.hpp"
#include "contrapunto/step/detail/step_core.hpp"
#include "contrapunto/step/step_model.hpp"

namespace contrapunto {

struct ChunkSizeOptions {
  double memory_fraction = 0.8;  ///< Fraction of the free memory that a chunk may use.
  std::int64_t first_size = 8;  ///< Samples of the first probe. The second probe has twice as many.
  double saturated = 0.95;      ///< Accepted fraction of the best measured throughput.
  double free_memory_bytes = 0.0;  ///< Free memory to assume; 0 queries the device.
};

namespace detail {

/// Returns whether `error` reports that memory ran out on any device.
[[nodiscard]] inline bool is_out_of_memory(const c10::Error& error) {
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr) return true;
  const std::string text = error.what_without_backtrace();
  return text.find("can't allocate memory") != std::string::npos ||
         text.find("not enough memory") != std::string::npos;
}

/// Runs `work`. Returns the error message if memory ran out and nothing on success. Rethrows all
/// other errors.
template <class Work>
[[nodiscard]] std::optional<std::string> out_of_memory_in(const Work& work) {
  try {
    work();
  } catch (const std::bad_alloc& error) {
    return error.what();
  } catch (const c10::Error& error) {
    if (!is_out_of_memory(error)) throw;
    return error.what_without_backtrace();
  }
  return std::nullopt;
}

struct ChunkProbe {
  double peak_bytes = 0.0;     ///< Peak memory of the encoder that needs the most.
  double seconds = 0.0;        ///< Seconds per sample, summed over all encoders.
  double feature_bytes = 0.0;  ///< Bytes of features per sample, summed over all encoders.
};

/// Runs forward and backward of the first chunk of `size` samples through each encoder. Restores
/// the random number generators, buffers and gradients afterward.
template <class Inputs>
[[nodiscard]] ChunkProbe probe_chunk(const StepModel<Inputs>& model, const Batch& batch,
                                     const StepContext& context, std::int64_t size) {
  const RngScope random(RngState::capture(context.device));
  const RecomputeScope no_statistics;
  const BufferCopies buffers(model.buffers);
  std::vector<at::Tensor> earlier;
  for (const auto& parameter : model.parameters)
    earlier.push_back(std::exchange(parameter.mutable_grad(), at::Tensor()));
  const auto restore = [&] {
    for (std::size_t i = 0; i < earlier.size(); ++i)
      model.parameters[i].mutable_grad() = std::exchange(earlier[i], at::Tensor());
    buffers.restore();
  };
  ChunkProbe probe;
  try {
    const AutocastGuard autocast(context.precision, context.device);
    for (const auto& encoder : model.encoders) {
      const auto& input = batch.at(encoder.input);
      const auto chunking = chunks_of(encoder, input, size);
      const auto& chunk = chunking.chunks.front();
      double seconds = std::numeric_limits<double>::infinity();
      for (int run = 0; run < 2; ++run) {  // The first run is a warm-up.
        const MemoryMeter meter;
        const auto begin = std::chrono::steady_clock::now();
        const auto outputs = run_encoder(encoder, chunking.input(input, chunk));
        std::vector<at::Tensor> roots, gradients;
        for (const auto& output : outputs) {
          if (run == 0)
            probe.feature_bytes += static_cast<double>(output.nbytes()) /
                                   static_cast<double>(std::max<std::int64_t>(1, chunk.count));
          if (!output.requires_grad()) continue;
          roots.push_back(output);
          gradients.push_back(at::ones_like(output));
        }
        if (!roots.empty()) torch::autograd::backward(roots, gradients);
        for (const auto& output : outputs)
          static_cast<void>(output.sum().item());  // Synchronizes with the device.
        seconds = std::min(
            seconds,
            std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
        probe.peak_bytes = std::max(probe.peak_bytes,
                                    static_cast<double>(meter.peak_bytes(context.device.type())));
      }
      probe.seconds += seconds / static_cast<double>(chunk.count);
    }
  } catch (...) {
    restore();
    throw;
  }
  restore();
  return probe;
}

}  // namespace detail

/// Chooses the smallest chunk that keeps the device busy. Two probes of the encoders on `batch`
/// give a linear estimate of the peak memory per chunk size, which bounds the chunk. The chunk size
/// is then doubled until the time per sample no longer falls. The result is at most the batch size
/// and the same on all ranks. All ranks must call this together. It costs a few chunks of work and
/// does not change the model. Raises if a probe runs out of memory, if no sample is estimated to
/// fit, or if the batch of a rank is empty.
template <class Inputs>
[[nodiscard]] std::int64_t choose_chunk_size(const StepModel<Inputs>& model, const Batch& batch,
                                             const StepContext& context,
                                             const ChunkSizeOptions& options = {}) {
  const auto agree = [&](std::int64_t value) { return context.ranks.all_reduce_min(value); };
  const auto samples = agree(batch.size());
  TORCH_CHECK(samples > 0, "choose_chunk_size: the batch of at least one rank is empty");
  const auto first = std::min(options.first_size, samples);
  if (first == samples) return samples;
  const auto second = std::min(2 * first, samples);
  const auto small = detail::probe_chunk(model, batch, context, first);
  const auto large = detail::probe_chunk(model, batch, context, second);
  const double slope =
      std::max(1.0, (large.peak_bytes - small.peak_bytes) / static_cast<double>(second - first));
  const double base = std::max(0.0, small.peak_bytes - slope * static_cast<double>(first));
  double free = options.free_memory_bytes > 0.0 ? options.free_memory_bytes
                                                : free_memory_bytes(context.device);
  // The features and their gradients exist twice: in the encoders and in the loss.
  free = options.memory_fraction * free -
         4.0 * small.feature_bytes * static_cast<double>(batch.size());
  const auto fits = free > 0.0 ? (free - base) / slope : static_cast<double>(samples);
  TORCH_CHECK(agree(fits >= 1.0 ? 1 : 0) == 1,
              "choose_chunk_size: not one sample fits on at least one rank; here a sample needs ",
              (base + slope) / 1e9, " GB of activations and ", free / 1e9,
              " GB are free; use a smaller model or 16-bit precision");
  const auto limit = agree(static_cast<std::int64_t>(std::min(fits, static_cast<double>(samples))));

  std::vector<std::pair<std::int64_t, double>> seen{{first, small.seconds},
                                                    {second, large.seconds}};
  for (auto size = 2 * second; size <= limit; size *= 2) {
    const auto& [_, last] = seen.back();
    if (agree(last < options.saturated * seen[seen.size() - 2].second ? 1 : 0) == 0) break;
    seen.emplace_back(size, detail::probe_chunk(model, batch, context, size).seconds);
  }
  double best = seen.front().second;
  for (const auto& [_, seconds] : seen) best = std::min(best, seconds);
  auto chosen = seen.back().first;
  for (auto it = seen.rbegin(); it != seen.rend(); ++it)
    if (it->second * options.saturated <= best) chosen = it->first;
  return agree(std::min(chosen, std::max<std::int64_t>(1, limit)));
}

}  // namespace contrapunto
