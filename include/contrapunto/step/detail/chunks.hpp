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

/// A range of samples of a batch that pass through an encoder together.
struct Chunk {
  std::int64_t begin = 0;  ///< Position of the first sample in the encoder's order.
  std::int64_t count = 0;
  std::int64_t length = 0;  ///< Tokens of its longest text; 0 if the texts are not trimmed.
};

/// The order in which an encoder processes the samples, and the chunks of that order.
struct Chunking {
  at::Tensor order;  ///< int64 [B]; undefined for the order of the batch.
  std::vector<Chunk> chunks;

  /// Returns the rows of `whole` that belong to `chunk`.
  [[nodiscard]] at::Tensor rows(const at::Tensor& whole, const Chunk& chunk) const {
    if (!order.defined()) return whole.narrow(0, chunk.begin, chunk.count);
    return whole.index_select(0, indices(whole, chunk));
  }

  /// Returns the input of the encoder for `chunk`, with trimmed texts.
  [[nodiscard]] at::Tensor input(const at::Tensor& whole, const Chunk& chunk) const {
    auto slice = rows(whole, chunk);
    return chunk.length > 0 ? slice.narrow(-1, 0, chunk.length) : slice;
  }

  /// Writes the rows of a chunk to their positions in `whole`.
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

/// Splits `samples` into chunks of `size` samples. The last chunk may be smaller.
[[nodiscard]] inline Chunking even_chunks(std::int64_t samples, std::int64_t size) {
  Chunking chunking;
  for (std::int64_t begin = 0; begin < samples; begin += size)
    chunking.chunks.push_back({begin, std::min(size, samples - begin), 0});
  return chunking;
}

/// Splits the texts `tokens` [B, L], or [B, K, L] for K texts per sample, into chunks. The texts
/// are sorted by length, longest first, so that an out-of-memory error occurs in the first chunk.
/// Each chunk has at least `size` samples, except perhaps the last one, and at most as many tokens
/// as `size` texts of full length.
[[nodiscard]] inline Chunking trimmed_chunks(const at::Tensor& tokens, std::int64_t size) {
  TORCH_CHECK(
      tokens.dim() >= 2 && tokens.scalar_type() == at::kLong,
      "an encoder that trims texts takes int64 token ids [B, L] or [B, K, L], but the batch has ",
      tokens.scalar_type(), " ", tokens.sizes(), "; turn off trimming for this encoder");
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

/// Splits the input `whole` of `encoder` into chunks of `size` samples.
[[nodiscard]] inline Chunking chunks_of(const Encoder& encoder, const at::Tensor& whole,
                                        std::int64_t size) {
  return encoder.trims_text ? trimmed_chunks(whole, size) : even_chunks(whole.size(0), size);
}

}  // namespace contrapunto::detail
