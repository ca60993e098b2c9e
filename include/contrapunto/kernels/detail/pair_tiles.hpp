// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/log_sigmoid.h>
#include <ATen/ops/neg.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softplus.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>

#ifdef CONTRAPUNTO_HAS_CUDA
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "contrapunto/kernels/detail/pair_tiles_launch.hpp"
#endif

// Operations of the tiled losses on a tile of products between two matrix products. Each is one
// kernel on CUDA (with contrapunto::cuda). Elsewhere it consists of ATen operations, which are also
// the reference of the kernel. The CUDA kernels give the same bits in every run.

namespace contrapunto::detail {

/// Positives and excluded pairs of a tile of pairs [r, c].
struct TilePairs {
  std::int64_t diagonal = 0;        ///< Positives are at (i, i + diagonal).
  std::int64_t positives = 0;       ///< Number of positives; if 0, `diagonal` is not used.
  bool drop_positives = false;      ///< Exclude the positives.
  at::Tensor positive_logits = {};  ///< [positives], replace the logits from the products if
                                    ///< defined.
  at::Tensor row_keys = {};         ///< int64 [r]; pairs with equal keys count only as positives.
  at::Tensor column_keys = {};      ///< int64 [c]; set both or neither.
};

/// Returns a view of the positives of a tile.
[[nodiscard]] inline at::Tensor positives_of(const at::Tensor& values, const TilePairs& pairs) {
  return values.diagonal(pairs.diagonal);
}

/// Converts the products [r, c] to logits in place. If `scale` [] is undefined, the products are
/// the logits.
inline void to_logits_(at::Tensor& products, const at::Tensor& scale, const TilePairs& pairs) {
  if (scale.defined()) products.mul_(scale);
  if (pairs.positives > 0 && pairs.positive_logits.defined())
    positives_of(products, pairs).copy_(pairs.positive_logits);
}

/// Writes `value` to the excluded pairs of the tile.
inline void exclude_(at::Tensor& values, const TilePairs& pairs, double value) {
  if (pairs.row_keys.defined()) {
    auto same = pairs.row_keys.unsqueeze(1) == pairs.column_keys.unsqueeze(0);
    if (pairs.positives > 0) positives_of(same, pairs).fill_(false);
    values.masked_fill_(same, value);
  }
  if (pairs.drop_positives && pairs.positives > 0) positives_of(values, pairs).fill_(value);
}

inline void exp_sums_reference_(at::Tensor& products, const at::Tensor& scale, double offset,
                                const TilePairs& pairs, at::Tensor& row_sums,
                                at::Tensor& column_sums, at::Tensor& kept) {
  to_logits_(products, scale, pairs);
  if (offset != 0.0) products.sub_(offset);
  products.exp_();
  exclude_(products, pairs, 0.0);
  row_sums.add_(products.sum(1));
  if (column_sums.defined()) column_sums.add_(products.sum(0));
  if (kept.defined()) kept.copy_(products);
}

inline void gradient_tile_reference_(at::Tensor& products, const at::Tensor& kept,
                                     const at::Tensor& scale, double offset, const TilePairs& pairs,
                                     const at::Tensor& row_weights,
                                     const at::Tensor& column_weights,
                                     at::Tensor& positive_gradients, at::Tensor& gradient) {
  if (kept.defined()) {
    products.copy_(kept);
    if (pairs.positives > 0 && pairs.positive_logits.defined() && !pairs.drop_positives)
      positives_of(products, pairs).copy_((pairs.positive_logits - offset).exp_());
  } else {
    to_logits_(products, scale, pairs);
    if (offset != 0.0) products.sub_(offset);
    products.exp_();
    exclude_(products, pairs, 0.0);
  }
  if (column_weights.defined())
    products.mul_(row_weights.unsqueeze(1) + column_weights.unsqueeze(0));
  else
    products.mul_(row_weights.unsqueeze(1));
  if (pairs.positives > 0 && positive_gradients.defined()) {
    auto diagonal = positives_of(products, pairs);
    positive_gradients.copy_(diagonal);
    diagonal.zero_();
  }
  if (!gradient.is_same(products)) gradient.copy_(products);
}

/// log(1 + exp(z)). ATen's fast version is truncated where the rest does not matter in float32.
[[nodiscard]] inline at::Tensor softplus_of(const at::Tensor& z) {
  return z.scalar_type() == at::kFloat ? at::softplus(z) : -at::log_sigmoid(-z);
}

inline void sigmoid_tile_reference_(at::Tensor& products, const at::Tensor& scale,
                                    const at::Tensor& bias, const TilePairs& pairs,
                                    at::Tensor& loss, at::Tensor& bias_gradient, double factor,
                                    at::Tensor& positive_gradients, at::Tensor& gradient) {
  const double none = -std::numeric_limits<double>::infinity();
  if (scale.defined()) products.mul_(scale);
  products.add_(bias);
  at::Tensor opposite;  // Negated logits of the positives.
  if (pairs.positives > 0)
    opposite =
        -(pairs.positive_logits.defined() ? pairs.positive_logits : positives_of(products, pairs));
  exclude_(products, pairs, none);
  if (pairs.positives > 0) {
    // Positives have the opposite sign. A logit of -inf adds nothing to the loss and the gradient.
    positives_of(products, pairs).fill_(none);
    loss.add_(softplus_of(opposite).sum(at::kDouble));
  }
  loss.add_(softplus_of(products).sum(at::kDouble));
  if (!gradient.defined()) return;
  products.sigmoid_();
  bias_gradient.add_(products.sum(at::kDouble));
  if (pairs.positives > 0) {
    at::neg_out(positive_gradients, at::sigmoid(opposite));
    bias_gradient.add_(positive_gradients.sum(at::kDouble));
  }
  if (factor != 1.0) products.mul_(factor);
  if (!gradient.is_same(products)) gradient.copy_(products);
}

#ifdef CONTRAPUNTO_HAS_CUDA
[[nodiscard]] inline TileElement tile_element(const at::Tensor& tensor) {
  if (!tensor.defined()) return TileElement::kNone;
  return tensor.scalar_type() == at::kFloat  ? TileElement::kFloat32
         : tensor.scalar_type() == at::kHalf ? TileElement::kFloat16
                                             : TileElement::kBFloat16;
}

template <class Element>
[[nodiscard]] Element* tile_data(const at::Tensor& tensor) {
  if (!tensor.defined()) return nullptr;
  TORCH_INTERNAL_ASSERT(tensor.is_contiguous());
  if constexpr (std::is_void_v<Element>)
    return tensor.data_ptr();
  else
    return tensor.data_ptr<Element>();
}

[[nodiscard]] inline TileArguments tile_arguments(const at::Tensor& products,
                                                  const at::Tensor& scale, const TilePairs& pairs) {
  TileArguments a;
  a.products = tile_data<float>(products);
  a.rows = products.size(0);
  a.columns = products.size(1);
  a.scale = tile_data<float>(scale);
  a.diagonal = pairs.positives > 0 ? pairs.diagonal : a.columns;  // Beyond every column.
  a.first = std::max<std::int64_t>(0, -a.diagonal);
  a.drop_positives = pairs.drop_positives;
  a.positives = tile_data<float>(pairs.positive_logits);
  a.row_keys = tile_data<std::int64_t>(pairs.row_keys);
  a.column_keys = tile_data<std::int64_t>(pairs.column_keys);
  return a;
}

[[nodiscard]] inline ExpSumsArguments exp_sums_arguments(
    const at::Tensor& products, const at::Tensor& scale, double offset, const TilePairs& pairs,
    const at::Tensor& row_sums, const at::Tensor& column_sums, const at::Tensor& kept,
    const at::Tensor& workspace) {
  ExpSumsArguments a;
  a.tile = tile_arguments(products, scale, pairs);
  a.offset = static_cast<float>(offset);
  a.row_sums = tile_data<float>(row_sums);
  a.column_sums = tile_data<float>(column_sums);
  a.kept = tile_data<void>(kept);
  a.kept_as = tile_element(kept);
  a.workspace = tile_data<float>(workspace);
  return a;
}

[[nodiscard]] inline GradientTileArguments gradient_tile_arguments(
    const at::Tensor& products, const at::Tensor& kept, const at::Tensor& scale, double offset,
    const TilePairs& pairs, const at::Tensor& row_weights, const at::Tensor& column_weights,
    const at::Tensor& positive_gradients, const at::Tensor& gradient) {
  GradientTileArguments a;
  a.tile = tile_arguments(products, scale, pairs);
  a.kept = tile_data<void>(kept);
  a.kept_as = tile_element(kept);
  a.offset = static_cast<float>(offset);
  a.row_weights = tile_data<float>(row_weights);
  a.column_weights = tile_data<float>(column_weights);
  a.gradient = tile_data<void>(gradient);
  a.gradient_as = tile_element(gradient);
  a.positive_gradients = tile_data<float>(positive_gradients);
  return a;
}

[[nodiscard]] inline SigmoidTileArguments sigmoid_tile_arguments(
    const at::Tensor& products, const at::Tensor& scale, const at::Tensor& bias,
    const TilePairs& pairs, const at::Tensor& loss, const at::Tensor& bias_gradient, double factor,
    const at::Tensor& positive_gradients, const at::Tensor& gradient, const at::Tensor& workspace) {
  SigmoidTileArguments a;
  a.tile = tile_arguments(products, scale, pairs);
  a.bias = tile_data<float>(bias);
  a.loss = tile_data<double>(loss);
  a.bias_gradient = tile_data<double>(bias_gradient);
  a.gradient = tile_data<void>(gradient);
  a.gradient_as = tile_element(gradient);
  a.factor = static_cast<float>(factor);
  a.positive_gradients = tile_data<float>(positive_gradients);
  a.workspace = tile_data<double>(workspace);
  return a;
}
#endif

/// Returns whether the CUDA kernels support these products.
[[nodiscard]] inline bool has_tile_kernels(const at::Tensor& products) {
#ifdef CONTRAPUNTO_HAS_CUDA
  return products.is_cuda() && products.scalar_type() == at::kFloat;
#else
  static_cast<void>(products);
  return false;
#endif
}

/// Computes E = exp(scale * products - offset) [r, c] without the excluded pairs. Adds the sums of
/// E to `row_sums` [r] and `column_sums` [c] (not computed if undefined), and writes E to `kept`
/// [r, c] (float32, float64 or bf16; not written if undefined). The contents of `products` [r, c]
/// are unspecified afterward.
inline void exp_sums_(at::Tensor& products, const at::Tensor& scale, double offset,
                      const TilePairs& pairs, at::Tensor row_sums, at::Tensor column_sums,
                      at::Tensor kept) {
  if (products.numel() == 0) return;
#ifdef CONTRAPUNTO_HAS_CUDA
  if (has_tile_kernels(products)) {
    const auto workspace =
        at::empty({exp_sums_workspace(products.size(0), products.size(1))}, products.options());
    const auto a =
        exp_sums_arguments(products, scale, offset, pairs, row_sums, column_sums, kept, workspace);
    const c10::cuda::CUDAGuard device(products.device());
    C10_CUDA_CHECK(launch_exp_sums(a, c10::cuda::getCurrentCUDAStream()));
    return;
  }
#endif
  exp_sums_reference_(products, scale, offset, pairs, row_sums, column_sums, kept);
}

/// Writes G = E * (row weight + column weight) [r, c] to `gradient` (the products themselves, or a
/// tile of bf16 or fp16), where E are the exponentials of `exp_sums_`. E is taken from `kept` if it
/// is defined and recomputed otherwise. The weights are [r] and [c]; column weights may be
/// undefined. If `positive_gradients` [positives] is defined, it receives G of the positives, and
/// the tile gets zeros there.
inline void gradient_tile_(at::Tensor& products, const at::Tensor& kept, const at::Tensor& scale,
                           double offset, const TilePairs& pairs, const at::Tensor& row_weights,
                           const at::Tensor& column_weights, at::Tensor positive_gradients,
                           at::Tensor& gradient) {
  if (products.numel() == 0) return;
#ifdef CONTRAPUNTO_HAS_CUDA
  if (has_tile_kernels(products)) {
    const auto a = gradient_tile_arguments(products, kept, scale, offset, pairs, row_weights,
                                           column_weights, positive_gradients, gradient);
    const c10::cuda::CUDAGuard device(products.device());
    C10_CUDA_CHECK(launch_gradient_tile(a, c10::cuda::getCurrentCUDAStream()));
    return;
  }
#endif
  gradient_tile_reference_(products, kept, scale, offset, pairs, row_weights, column_weights,
                           positive_gradients, gradient);
}

/// Computes the sigmoid loss of a tile with z = scale * products + bias. Adds softplus(z) of all
/// included pairs and softplus(-z) of the positives to `loss` [], float64. If `gradient` [r, c] is
/// defined (the products themselves, or a tile of bf16 or fp16), it receives `factor` * sigmoid(z),
/// and 0 at the positives, whose -sigmoid(-z) is written to `positive_gradients` [positives].
/// `bias_gradient` [], float64, receives the sum of both. `positive_logits` of the pairs must
/// include the bias.
inline void sigmoid_tile_(at::Tensor& products, const at::Tensor& scale, const at::Tensor& bias,
                          const TilePairs& pairs, at::Tensor& loss, at::Tensor& bias_gradient,
                          double factor, at::Tensor positive_gradients, at::Tensor gradient) {
  if (products.numel() == 0) return;
#ifdef CONTRAPUNTO_HAS_CUDA
  if (has_tile_kernels(products)) {
    const auto workspace =
        at::empty({sigmoid_workspace(products.size(0), products.size(1))}, loss.options());
    const auto a = sigmoid_tile_arguments(products, scale, bias, pairs, loss, bias_gradient, factor,
                                          positive_gradients, gradient, workspace);
    const c10::cuda::CUDAGuard device(products.device());
    C10_CUDA_CHECK(launch_sigmoid_tile(a, c10::cuda::getCurrentCUDAStream()));
    return;
  }
#endif
  sigmoid_tile_reference_(products, scale, bias, pairs, loss, bias_gradient, factor,
                          positive_gradients, gradient);
}

}  // namespace contrapunto::detail
