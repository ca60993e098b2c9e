// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>
#include <c10/util/Exception.h>

#include <cstdint>

#include "contrapunto/towers/dual_encoder.hpp"
#include "contrapunto/towers/make_dual_encoder.hpp"
#include "contrapunto/towers/model_config.hpp"

namespace contrapunto {

/// Computation of one forward pass of one sample, in 10^9 operations; a multiply-add counts as two.
struct ForwardGflops {
  double x = 0.0;  ///< For the tower of x, in CLIP the image tower.
  double y = 0.0;  ///< For the tower of y, in CLIP the text tower.

  [[nodiscard]] double total() const { return x + y; }
};

namespace detail {

inline ForwardCost tower_cost(const AnyTower& tower, std::int64_t tokens, const char* caller) {
  const auto cost = tower.cost(tokens);
  TORCH_CHECK(cost, caller, ": the tower '", tower->name(),
              "' has no member `ForwardCost cost(int64_t tokens) const`; add one, or do not "
              "request this number; see docs/guides/extending.md, Towers");
  return *cost;
}

}  // namespace detail

/// Counts the computation of both towers as published tables do: every token passes through every
/// layer. The towers of the library need less, because the last block and the pools compute only
/// the pooled token. `text_tokens` is the length to which texts are trimmed; 0 means the longest.
/// Raises for a tower that does not report its cost.
[[nodiscard]] inline ForwardGflops forward_gflops(const DualEncoder& model,
                                                  std::int64_t text_tokens = 0) {
  const auto gflops = [&](const AnyTower& tower) {
    return 2e-9 * detail::tower_cost(tower, text_tokens, "forward_gflops").macs;
  };
  return {gflops(model->x_tower()), gflops(model->y_tower())};
}

/// The same for a configuration, without allocating its weights.
[[nodiscard]] inline ForwardGflops forward_gflops(const ModelConfig& config,
                                                  std::int64_t text_tokens = 0) {
  const at::Device meta(at::kMeta);
  if (!config.image_only) return forward_gflops(make_dual_encoder(config, meta), text_tokens);
  const auto tower = make_image_tower(config, meta);
  return {2e-9 * detail::tower_cost(tower, 0, "forward_gflops").macs, 0.0};
}

}  // namespace contrapunto
