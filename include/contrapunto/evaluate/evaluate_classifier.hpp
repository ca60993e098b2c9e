// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <cstdint>
#include <type_traits>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/evaluate/class_accuracy.hpp"
#include "contrapunto/evaluate/classifier_accuracy.hpp"

namespace contrapunto {

/// Computes the accuracy of a classifier over one pass of `loader`, whose batches hold "image" [B,
/// 3, S, S] and "label" [B]. `classify(images)` returns logits [B, classes] and moves the images to
/// its device itself. With several ranks each rank processes its part of every batch, and all ranks
/// get the result over all samples; the call is then collective. No gradient is recorded. The
/// caller must put the model into eval mode.
template <class L, class Classify>
[[nodiscard]] ClassAccuracy evaluate_classifier(L& loader, Classify&& classify,
                                                std::int64_t classes, const Ranks& ranks = {}) {
  static_assert(Loader<L>, "evaluate_classifier: the loader must satisfy the concept Loader");
  static_assert(std::is_invocable_r_v<at::Tensor, Classify&, const at::Tensor&>,
                "evaluate_classifier: classify must be callable as `Tensor f(const Tensor&)`");
  const at::NoGradGuard no_grad;
  ClassifierAccuracy accuracy(classes);
  loader.start_epoch(0);
  while (const auto batch = loader.next()) {
    if (batch->size() == 0) continue;  // The last batch has no row for this rank.
    accuracy.add(classify(batch->at("image")), batch->at("label"));
  }
  return accuracy.result(ranks);
}

}  // namespace contrapunto
