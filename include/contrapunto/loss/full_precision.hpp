// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <c10/util/Exception.h>

#include <string_view>

#include "contrapunto/core/embeddings.hpp"
#include "contrapunto/core/unit_rows.hpp"

namespace contrapunto::detail {

/// Switches autocast off on this thread: the matrix product of a loss would else run in 16 bit, and
/// bf16 keeps 8 bits of logits that reach +-100.
class FullPrecision {
  c10::impl::ExcludeDispatchKeyGuard no_autocast_{c10::autocast_dispatch_keyset};
};

/// Raises unless x and y are [B, D] alike with B >= 1 and the scale is one number.
inline void check_embeddings(const Embeddings& e, std::string_view loss) {
  TORCH_CHECK(e.x.defined() && e.y.defined() && e.scale.defined(), loss,
              ": embeddings x, y and scale must all be set");
  TORCH_CHECK(e.x.dim() == 2 && e.x.sizes() == e.y.sizes(), loss, ": embeddings x ", e.x.sizes(),
              " and y ", e.y.sizes(),
              " must have one shape [B, D]; row i of x belongs to row i of y");
  TORCH_CHECK(e.x.size(0) > 0, loss, ": the batch is empty, x is ", e.x.sizes());
  TORCH_CHECK(e.scale.numel() == 1, loss, ": scale ", e.scale.sizes(), " must be one number");
}

/// scale * x y^T, [B, B], in float32 (float64 where x is). Call under FullPrecision.
[[nodiscard]] inline at::Tensor similarity_logits(const Embeddings& e) {
  // The scale goes on D columns, not on B: fewer products, and no second [B, B] tensor.
  const auto x = at_least_float32(e.x);
  return (x * e.scale.to(x.scalar_type())).mm(e.y.to(x.scalar_type()).t());
}

}  // namespace contrapunto::detail
