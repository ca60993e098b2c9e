// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "contrapunto/step/step_model.hpp"

namespace contrapunto::detail {

/// Samples of a batch that go through an encoder together.
struct Chunk {
  std::int64_t begin = 0;  ///< Place of the first in the encoder's order.
  std::int64_t count = 0;
  std::int64_t length = 0;  ///< Of its longest text; 0: not cut.
};

/// The order in which an encoder takes the samples, and where it is cut.
struct Chunking {
  at::Tensor order;  ///< int64 [B]; undefined: as they come.
  std::vector<Chunk> chunks;

  /// The rows of `whole` that belong to `chunk`.
  [[nodiscard]] at::Tensor rows(const at::Tensor& whole, const Chunk& chunk) const {
    if (!order.defined()) return whole.narrow(0, chunk.begin, chunk.count);
    return whole.index_select(0, indices(whole, chunk));
  }

  /// What the encoder is given.
  [[nodiscard]] at::Tensor input(const at::Tensor& whole, const Chunk& chunk) const {
    auto slice = rows(whole, chunk);
    return chunk.length > 0 ? slice.narrow(-1, 0, chunk.length) : slice;
  }

  /// Writes the rows of a chunk to their places.
  void put(at::Tensor& whole, const at::Tensor& rows_of_chunk, const Chunk& chunk) const {
    if (order.defined())
      whole.index_copy_(0, indices(whole, chunk), rows_of_chunk);
    else
      whole.narrow(0, chunk.begin, chunk.count).copy_(rows_of_chunk);
  }

 private:
  [[nodiscard]] at::Tensor indices(const at::Tensor& whole, const Chunk& chunk) const {
    return order.narrow(0, chunk.begin, chunk.count).to(whole.device());
  }
};

/// Chunks of `size` samples, the last one smaller.
[[nodiscard]] inline Chunking even_chunks(std::int64_t samples, std::int64_t size) {
  Chunking chunking;
  for (std::int64_t begin = 0; begin < samples; begin += size)
    chunking.chunks.push_back({begin, std::min(size, samples - begin), 0});
  return chunking;
}

/// Texts `tokens` [B, L], or [B, K, L] with K of each sample, sorted by length, the longest first
/// so that what does not fit fails at once, in chunks of at most as many tokens as `size` texts of
/// full length have.
[[nodiscard]] inline Chunking trimmed_chunks(const at::Tensor& tokens, std::int64_t size) {
  TORCH_CHECK(
      tokens.dim() >= 2 && tokens.scalar_type() == at::kLong,
      "an encoder that trims texts takes token ids int64 [B, L] or [B, K, L], the batch has ",
      tokens.scalar_type(), " ", tokens.sizes(), "; switch trimming off for it");
  Chunking chunking;
  const auto lengths = tokens.argmax(-1).flatten(tokens.dim() > 2 ? 1 : 0);
  const auto longest_each = (tokens.dim() > 2 ? lengths.amax(1) : lengths).add(1).cpu();
  chunking.order = longest_each.argsort(/*stable=*/true, /*dim=*/0, /*descending=*/true);
  const auto sorted = longest_each.index_select(0, chunking.order);
  const auto* length = sorted.const_data_ptr<std::int64_t>();
  const std::int64_t samples = tokens.size(0);
  const std::int64_t budget = size * tokens.size(-1);
  for (std::int64_t begin = 0; begin < samples;) {
    const auto longest = length[begin];
    const auto count = std::min(samples - begin, std::max(size, budget / longest));
    chunking.chunks.push_back({begin, count, longest});
    begin += count;
  }
  return chunking;
}

/// How `encoder` takes its input `whole` in chunks of `size` samples.
[[nodiscard]] inline Chunking chunks_of(const Encoder& encoder, const at::Tensor& whole,
                                        std::int64_t size) {
  return encoder.trims_text ? trimmed_chunks(whole, size) : even_chunks(whole.size(0), size);
}

}  // namespace contrapunto::detail
