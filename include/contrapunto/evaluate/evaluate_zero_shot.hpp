// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <type_traits>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/evaluate/classification_accuracy.hpp"
#include "contrapunto/evaluate/zero_shot_accuracy.hpp"

namespace contrapunto {

/// Computes the zero-shot accuracy over one pass of `loader`, whose batches hold "image" [B, 3, S,
/// S] and "label" [B]. `encode_image(images)` returns features [B, D] and moves the images to its
/// device itself. `classifier` [C, D] is that of `zero_shot_classifier`. With several ranks each
/// rank processes its part of every batch, and all ranks get the result over all samples; the call
/// is then collective. No gradient is recorded. The caller must put the model into eval mode.
template <class L, class EncodeImage>
[[nodiscard]] ClassificationAccuracy evaluate_zero_shot(L& loader, EncodeImage&& encode_image,
                                                        const at::Tensor& classifier,
                                                        const Ranks& ranks = {}) {
  static_assert(Loader<L>, "evaluate_zero_shot: the loader must satisfy the concept Loader");
  static_assert(std::is_invocable_r_v<at::Tensor, EncodeImage&, const at::Tensor&>,
                "evaluate_zero_shot: encode_image must be callable as `Tensor f(const Tensor&)`");
  const at::NoGradGuard no_grad;
  ZeroShotAccuracy accuracy;
  loader.start_epoch(0);
  while (const auto batch = loader.next()) {
    if (batch->size() == 0) continue;  // The last batch has no row for this rank.
    accuracy.add(encode_image(batch->at("image")), batch->at("label"), classifier);
  }
  return accuracy.result(ranks);
}

}  // namespace contrapunto
