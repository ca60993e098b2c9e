// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace contrapunto {

/// The embeddings of a batch of pairs: row i of `x` and row i of `y` are a positive pair. In
/// image-text training x holds the images and y the texts. Losses call x the rows and y the
/// columns.
struct Embeddings {
  at::Tensor x = {};      ///< [B, D], rows of unit length.
  at::Tensor y = {};      ///< [B, D], rows of unit length; y[i] is the positive of x[i].
  at::Tensor scale = {};  ///< [], exp of the learned log-scale: logits = scale * x y^T.
  std::optional<at::Tensor> bias = {};  ///< [], added to the logits; used by the sigmoid loss only.
  /// [M, D], rows of unit length: additional candidates without a positive, such as mined hard
  /// negatives or a queue of earlier batches.
  std::optional<at::Tensor> negatives = {};
  /// int64 [B]: what each pair is about, such as a class or a hash of the caption. Two pairs with
  /// the same group id are not negatives of each other.
  std::optional<at::Tensor> group_ids = {};
  /// int64 [M]; required if both `negatives` and `group_ids` are set.
  std::optional<at::Tensor> negative_group_ids = {};
};

}  // namespace contrapunto
