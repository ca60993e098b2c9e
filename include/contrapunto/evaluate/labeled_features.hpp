// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>

#include <type_traits>
#include <vector>

#include "contrapunto/core/concepts.hpp"

namespace contrapunto {

/// The features of labeled images, those of one rank.
struct LabeledFeatures {
  at::Tensor features = {};  ///< [N, D]; [0, 0] on a rank that got no image.
  at::Tensor labels = {};    ///< int64 [N], on the device of the features.
};

/// Features of one pass over `loader`, whose batches hold "image" [B, 3, S, S] and "label" [B].
/// `encode_image(images)` gives features [B, D] and brings the images to its device itself. No
/// gradient is recorded; the caller puts the model into eval mode.
template <class L, class EncodeImage>
[[nodiscard]] LabeledFeatures labeled_features(L& loader, EncodeImage&& encode_image) {
  static_assert(Loader<L>, "labeled_features: the loader must satisfy the concept Loader");
  static_assert(std::is_invocable_r_v<at::Tensor, EncodeImage&, const at::Tensor&>,
                "labeled_features: encode_image must be callable as `Tensor f(const Tensor&)`");
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> features, labels;
  loader.start_epoch(0);
  while (const auto batch = loader.next()) {
    if (batch->size() == 0) continue;  // The last batch has no row for this rank.
    features.push_back(encode_image(batch->at("image")));
    labels.push_back(batch->at("label").to(features.back().device()));
  }
  if (features.empty()) return {at::zeros({0, 0}), at::zeros({0}, at::kLong)};
  return {at::cat(features), at::cat(labels)};
}

}  // namespace contrapunto
