// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace contrapunto {

/// What two towers make of one batch of pairs: row i of `x` and row i of `y` belong together.
/// For image-text training x holds the images and y the texts; losses call them rows and columns.
struct Embeddings {
  at::Tensor x = {};      ///< [B, D], unit rows.
  at::Tensor y = {};      ///< [B, D], unit rows; y[i] is the positive of x[i].
  at::Tensor scale = {};  ///< [], exp of the learned log-scale: logits = scale * x y^T.
  std::optional<at::Tensor> bias = {};  ///< [], added to the logits; only the sigmoid loss has one.
  /// [M, D], unit rows: further candidates that no row belongs to, such as mined hard negatives or
  /// a queue of earlier batches.
  std::optional<at::Tensor> negatives = {};
  /// int64 [B]: what the pairs are about, such as a class or a hash of the caption. Two pairs with
  /// one group id are not negatives of each other.
  std::optional<at::Tensor> group_ids = {};
  /// int64 [M]; set it where `negatives` and `group_ids` are set.
  std::optional<at::Tensor> negative_group_ids = {};
};

}  // namespace contrapunto
