// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/topk.h>

#include <algorithm>
#include <cstdint>
#include <tuple>

namespace contrapunto {

/// Returns how many of `patches` remain if a fraction `probability` is dropped: at least one.
[[nodiscard]] inline std::int64_t patches_kept(std::int64_t patches, double probability) {
  return std::max<std::int64_t>(
      1, static_cast<std::int64_t>(static_cast<double>(patches) * (1.0 - probability)));
}

/// Keeps `patches_kept` random tokens of each image, drawn separately for each image with the
/// default generator of the device. The first `prefix` tokens (the class token) always stay at the
/// front. Maps x [B, prefix + n, D] to [B, prefix + kept, D].
/// Reference: Li et al. 2022, https://arxiv.org/abs/2212.00794
[[nodiscard]] inline at::Tensor drop_patches(const at::Tensor& x, double probability,
                                             std::int64_t prefix) {
  const auto batch = x.size(0);
  const auto count = x.size(1) - prefix;
  const auto options = x.options().dtype(at::kFloat);
  const auto chosen = std::get<1>(
      at::rand({batch, count}, options).topk(patches_kept(count, probability), -1, true, false));
  const auto first = at::arange(prefix, chosen.options()).expand({batch, prefix});
  const auto tokens = at::cat({first, chosen + prefix}, 1);  // [B, prefix + kept]
  // index_select on rows of a matrix has a much cheaper backward than advanced indexing.
  const auto offset = at::arange(batch, chosen.options()).unsqueeze(1) * x.size(1);
  return x.flatten(0, 1).index_select(0, (tokens + offset).flatten()).view({batch, -1, x.size(2)});
}

}  // namespace contrapunto
