// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <c10/util/Exception.h>

#include <string_view>

#include "contrapunto/autograd/no_autocast.hpp"
#include "contrapunto/core/embeddings.hpp"
#include "contrapunto/core/unit_rows.hpp"

namespace contrapunto::detail {

/// Checked embeddings, converted to one dtype: float64 if x is float64, otherwise float32. Autocast
/// is off during the lifetime of the object.
class LossInputs {
 public:
  /// Raises, with `loss` in the message, unless x and y have the same shape [B, D], the scale is a
  /// single number, and the negatives and group ids fit.
  [[nodiscard]] LossInputs(const Embeddings& e, std::string_view loss) {
    check(e, loss);
    x = at_least_float32(e.x);
    y = e.y.to(x.scalar_type());
    scale = e.scale.to(x.scalar_type());
    candidates = y;
    if (e.group_ids) row_groups = candidate_groups = *e.group_ids;
    if (!e.negatives) return;
    negatives = e.negatives->to(x.scalar_type());
    candidates = at::cat({y, negatives});
    if (e.group_ids) candidate_groups = at::cat({*e.group_ids, *e.negative_group_ids});
  }

  at::Tensor x, y;              ///< [B, D]
  at::Tensor scale;             ///< A single number, in its original shape.
  at::Tensor negatives;         ///< [M, D]; undefined if there are none.
  at::Tensor candidates;        ///< [B + M, D]: the candidates for the rows of x.
  at::Tensor row_groups;        ///< int64 [B]; undefined without group ids.
  at::Tensor candidate_groups;  ///< int64 [B + M]; undefined without group ids.

 private:
  static void check(const Embeddings& e, std::string_view loss) {
    TORCH_CHECK(e.x.defined() && e.y.defined() && e.scale.defined(), loss,
                ": embeddings x, y and scale must all be set");
    TORCH_CHECK(e.x.dim() == 2 && e.x.sizes() == e.y.sizes(), loss, ": embeddings x ", e.x.sizes(),
                " and y ", e.y.sizes(),
                " must have the same shape [B, D]; row i of x belongs to row i of y");
    TORCH_CHECK(e.scale.numel() == 1, loss, ": scale ", e.scale.sizes(), " must be one number");
    if (e.negatives)
      TORCH_CHECK(e.negatives->dim() == 2 && e.negatives->size(1) == e.x.size(1), loss,
                  ": negatives ", e.negatives->sizes(), " must be [M, D] with the D of x ",
                  e.x.sizes());
    if (e.group_ids)
      TORCH_CHECK(e.group_ids->scalar_type() == at::kLong && e.group_ids->dim() == 1 &&
                      e.group_ids->size(0) == e.x.size(0),
                  loss, ": group_ids ", e.group_ids->scalar_type(), " ", e.group_ids->sizes(),
                  " must be int64 [B], but x is ", e.x.sizes());
    if (e.group_ids && e.negatives)
      TORCH_CHECK(e.negative_group_ids && e.negative_group_ids->scalar_type() == at::kLong &&
                      e.negative_group_ids->dim() == 1 &&
                      e.negative_group_ids->size(0) == e.negatives->size(0),
                  loss, ": negatives also need group ids; set negative_group_ids, int64 [M]");
  }

  NoAutocast no_autocast_;
};

/// Raises for inputs that the plain losses do not support: an empty batch, negatives and group ids.
inline void check_plain(const Embeddings& e, std::string_view loss) {
  TORCH_CHECK(e.x.size(0) > 0, loss, ": the batch is empty; x is ", e.x.sizes());
  TORCH_CHECK(!e.negatives && !e.group_ids, loss,
              ": the plain form takes no negatives and no group_ids; use Tiled", loss);
}

/// Returns scale * x y^T, [B, B]. The scale is applied to x [B, D] rather than to the product,
/// which needs fewer multiplications and no second [B, B] tensor.
[[nodiscard]] inline at::Tensor similarity_logits(const LossInputs& in) {
  return (in.x * in.scale).mm(in.y.t());
}

}  // namespace contrapunto::detail
