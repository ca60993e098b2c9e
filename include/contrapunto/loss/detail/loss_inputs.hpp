// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <c10/util/Exception.h>

#include <string_view>

#include "contrapunto/core/embeddings.hpp"
#include "contrapunto/core/unit_rows.hpp"

namespace contrapunto::detail {

/// Switches autocast off on this thread: the matrix product of a loss would else run in 16 bit, and
/// bf16 keeps 8 bits of logits that reach +-100.
class NoAutocast {
  c10::impl::ExcludeDispatchKeyGuard no_autocast_{c10::autocast_dispatch_keyset};
};

/// Raises unless x and y are [B, D] alike, the scale is one number, and negatives and keys fit.
inline void check_pairs(const Embeddings& e, std::string_view loss) {
  TORCH_CHECK(e.x.defined() && e.y.defined() && e.scale.defined(), loss,
              ": embeddings x, y and scale must all be set");
  TORCH_CHECK(e.x.dim() == 2 && e.x.sizes() == e.y.sizes(), loss, ": embeddings x ", e.x.sizes(),
              " and y ", e.y.sizes(),
              " must have one shape [B, D]; row i of x belongs to row i of y");
  TORCH_CHECK(e.scale.numel() == 1, loss, ": scale ", e.scale.sizes(), " must be one number");
  if (e.negatives)
    TORCH_CHECK(e.negatives->dim() == 2 && e.negatives->size(1) == e.x.size(1), loss,
                ": negatives ", e.negatives->sizes(), " must be [M, D] with the D of x ",
                e.x.sizes());
  if (e.keys)
    TORCH_CHECK(
        e.keys->scalar_type() == at::kLong && e.keys->dim() == 1 && e.keys->size(0) == e.x.size(0),
        loss, ": keys ", e.keys->scalar_type(), " ", e.keys->sizes(), " must be int64 [B], x is ",
        e.x.sizes());
  if (e.keys && e.negatives)
    TORCH_CHECK(e.negative_keys && e.negative_keys->scalar_type() == at::kLong &&
                    e.negative_keys->dim() == 1 && e.negative_keys->size(0) == e.negatives->size(0),
                loss, ": with keys the negatives need theirs: set negative_keys, int64 [M]");
}

/// The same for the plain losses, which take neither an empty batch nor negatives nor keys.
inline void check_embeddings(const Embeddings& e, std::string_view loss) {
  check_pairs(e, loss);
  TORCH_CHECK(e.x.size(0) > 0, loss, ": the batch is empty, x is ", e.x.sizes());
  TORCH_CHECK(!e.negatives && !e.keys, loss,
              ": this plain form takes no negatives and no keys; "
              "use Tiled",
              loss);
}

/// What the rows may choose from: y, then the negatives, and the keys of all of them.
struct Candidates {
  at::Tensor rows;  ///< [B + M, D]
  at::Tensor keys;  ///< int64 [B + M]; undefined where the pairs have none.
};

/// The candidates of `e`, whose y was widened to `y`; negatives take its dtype.
[[nodiscard]] inline Candidates candidates_of(const Embeddings& e, const at::Tensor& y) {
  Candidates all{y, e.keys.value_or(at::Tensor())};
  if (!e.negatives) return all;
  all.rows = at::cat({y, e.negatives->to(y.scalar_type())});
  if (e.keys) all.keys = at::cat({*e.keys, *e.negative_keys});
  return all;
}

/// scale * x y^T, [B, B], in float32 (float64 where x is). Call under NoAutocast.
[[nodiscard]] inline at::Tensor similarity_logits(const Embeddings& e) {
  // The scale goes on D columns, not on B: fewer products, and no second [B, B] tensor.
  const auto x = at_least_float32(e.x);
  return (x * e.scale.to(x.scalar_type())).mm(e.y.to(x.scalar_type()).t());
}

}  // namespace contrapunto::detail
