// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "contrapunto/core/batch.hpp"
#include "contrapunto/core/embeddings.hpp"
#include "contrapunto/core/loss_terms.hpp"
#include "contrapunto/core/unit_rows.hpp"
#include "contrapunto/loss/detail/weighted_terms.hpp"

namespace contrapunto {

/// One of the widths at which a `MatryoshkaLoss` uses the embeddings.
struct NestedWidth {
  std::int64_t width = 0;
  double weight = 1.0;
};

/// Any loss of embeddings, or of `DistilledEmbeddings`, at several widths: the weighted sum of the
/// loss over the first `width` numbers of every embedding of the student, normalized to unit length
/// again. The embeddings can then be cut to any of the widths after the training. The teachers'
/// embeddings and DistilledEmbeddings::mapped are not cut. The value at each width is logged as
/// "width_64" and so on, without its weight. Ranks, chunks and gradients are those of the loss.
/// Reference: Kusupati et al. 2022, https://arxiv.org/abs/2205.13147
///
///   const MatryoshkaLoss loss(TiledInfoNce({}, ranks), {{64, 1.0}, {128, 1.0}, {512, 1.0}});
template <class Loss>
class MatryoshkaLoss {
 public:
  /// Raises without widths, and for widths and weights that are not positive.
  MatryoshkaLoss(Loss loss, std::vector<NestedWidth> widths)
      : loss_(std::move(loss)), widths_(std::move(widths)) {
    TORCH_CHECK(!widths_.empty(), "MatryoshkaLoss: there are no widths");
    for (const auto& nested : widths_)
      TORCH_CHECK(nested.width > 0 && nested.weight > 0 && std::isfinite(nested.weight),
                  "MatryoshkaLoss: width ", nested.width, " and weight ", nested.weight,
                  " must be positive");
  }

  /// Returns the loss, []. Raises if the embeddings have fewer numbers than a width.
  template <class Inputs>
  requires std::is_invocable_v<const Loss&, const Inputs&>
  [[nodiscard]] LossTerms operator()(const Inputs& inputs) const { return sum(inputs); }
  template <class Inputs>
  requires std::is_invocable_v<const Loss&, const Inputs&, const Batch&>
  [[nodiscard]] LossTerms operator()(const Inputs& inputs, const Batch& batch) const {
    return sum(inputs, batch);
  }

 private:
  [[nodiscard]] static Embeddings cut(const Embeddings& e, std::int64_t width) {
    TORCH_CHECK(e.x.dim() == 2 && width <= e.x.size(1), "MatryoshkaLoss: the embeddings are ",
                e.x.sizes(), ", which is less than the width ", width);
    auto narrow = e;
    for (auto* rows : {&narrow.x, &narrow.y}) *rows = unit_rows(rows->narrow(1, 0, width));
    if (narrow.negatives) narrow.negatives = unit_rows(narrow.negatives->narrow(1, 0, width));
    return narrow;
  }
  template <class Inputs>
  [[nodiscard]] static Inputs cut(const Inputs& inputs, std::int64_t width) {
    auto narrow = inputs;
    narrow.student = cut(inputs.student, width);
    return narrow;
  }

  template <class Inputs, class... More>
  [[nodiscard]] LossTerms sum(const Inputs& inputs, const More&... batch) const {
    detail::WeightedTerms sum;
    for (const auto& nested : widths_)
      sum.add("width_" + std::to_string(nested.width), nested.weight,
              loss_(cut(inputs, nested.width), batch...));
    return sum.take();
  }

  Loss loss_;
  std::vector<NestedWidth> widths_;
};

}  // namespace contrapunto
