// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "contrapunto/autograd/custom_gradient.hpp"
#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/embeddings.hpp"
#include "contrapunto/distributed/all_reduce_value.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/loss/detail/column_blocks.hpp"
#include "contrapunto/loss/detail/loss_inputs.hpp"
#include "contrapunto/loss/detail/tiles.hpp"
#include "contrapunto/loss/tile_options.hpp"

namespace contrapunto {

struct TiledSigmoidLossOptions {
  TileOptions tiles = {};  ///< `keep_bytes` is ignored, because nothing has to be kept.
  /// On: with several ranks y is passed from rank to rank, and the memory does not grow with the
  /// number of ranks. Off: y of all ranks is gathered.
  bool ring = true;
};

/// `SigmoidLoss` of the batch of all ranks, computed tile by tile: the same value and gradients on
/// the global batch, with O(B D) memory in addition to the features. The loss needs no normalizer,
/// so the forward computes the gradients in the same pass, with three matrix products instead of
/// four. Negatives, group ids and ranks work as in `TiledInfoNce`. Raises without a bias and for
/// shapes that do not fit.
/// Reference: Zhai et al. 2023, https://arxiv.org/abs/2303.15343
class TiledSigmoidLoss {
 public:
  explicit TiledSigmoidLoss(TiledSigmoidLossOptions options = {}, Ranks ranks = {})
      : o_(options), ranks_(std::move(ranks)) {}

  /// Returns the loss, []. Collective.
  [[nodiscard]] at::Tensor operator()(const Embeddings& e) const {
    const detail::LossInputs in(e, "TiledSigmoidLoss");
    TORCH_CHECK(e.bias.has_value() && e.bias->numel() == 1,
                "TiledSigmoidLoss: the embeddings need a bias of one number; build the model with "
                "DualEncoderOptions::initial_logit_bias (-10 in the paper)");
    const auto share =
        sweep({in.x, in.candidates, e.scale, *e.bias}, in.row_groups, in.candidate_groups);
    return all_reduce_value(share, ranks_);
  }

  [[nodiscard]] const Ranks& ranks() const { return ranks_; }

 private:
  [[nodiscard]] at::Tensor sweep(const std::vector<at::Tensor>& inputs, const at::Tensor& row_keys,
                                 const at::Tensor& column_keys) const {
    const bool differentiable = records_gradient(inputs);
    at::Tensor loss, dx, dy, dscale, dbias;
    {
      const at::NoGradGuard no_grad;
      const auto x = inputs[0].detach();
      const auto y = inputs[1].detach();
      const auto where = x.options();
      const auto scale = inputs[2].detach().to(x.device(), x.scalar_type()).squeeze();
      const auto bias = inputs[3].detach().to(x.device(), x.scalar_type()).squeeze();
      const detail::ColumnBlocks blocks(ranks_, x, y, o_.ring);
      const auto rank = ranks_.rank();
      const at::Tensor keys = row_keys.defined() ? blocks.gather(column_keys) : at::Tensor();
      const auto share = 1.0 / static_cast<double>(blocks.all_rows());
      loss = at::zeros({}, where.dtype(at::kDouble));
      dbias = at::zeros({}, where.dtype(at::kDouble));
      const auto n = x.size(0);
      const bool on_cuda = detail::goes_the_way_of_cuda(x, o_.tiles);
      const double factor = detail::gradient_factor(detail::product_dtype(x, o_.tiles));
      at::Tensor positives, at_positives;  // Logits and gradients of the positive pairs.
      if (on_cuda) positives = detail::row_products(x, y.narrow(0, 0, n)) * scale + bias;
      if (differentiable) {
        dx = at::zeros(x.sizes(), where);
        at_positives = at::zeros({n}, where);
      }

      const auto visit = [&](std::int64_t owner, const at::Tensor& columns, at::Tensor* sum) {
        detail::PairBlock block;
        if (owner == rank) {
          block.positive = 0;
          block.positive_logits = positives;
        }
        if (keys.defined()) {
          block.row_keys = row_keys;
          block.column_keys = keys[ranks_.size() == 1 ? 0 : owner].narrow(0, 0, columns.size(0));
        }
        detail::GradientTiles gradients;
        detail::for_each_tile(x, columns, scale, block, o_.tiles, false, [&](detail::Tile& tile) {
          detail::multiply(tile);
          const auto& pairs = tile.pairs;
          const auto g = differentiable ? gradients.of(tile) : at::Tensor();
          at::Tensor own;
          if (differentiable && pairs.positives > 0)
            own = at_positives.narrow(0, tile.first, pairs.positives);
          detail::sigmoid_tile_(tile.products, tile.scale, bias, pairs, loss, dbias, factor, own,
                                g);
          if (!differentiable) return;
          detail::add_wide_mm_(dx.narrow(0, tile.row, tile.rows), g, tile.column_block);
          detail::add_wide_mm_(sum->narrow(0, tile.column, tile.columns), g.t(), tile.row_block);
        });
        if (differentiable && on_cuda) sum->mul_(scale / factor);
      };
      if (differentiable) {
        dy = blocks.for_each_and_sum(y, y.size(1), where,
                                     [&](std::int64_t owner, const at::Tensor& columns,
                                         at::Tensor& sum) { visit(owner, columns, &sum); });
        if (factor != 1.0) dx.div_(factor);
        const auto own = at_positives.unsqueeze(1);
        dx.addcmul_(own, y.narrow(0, 0, n));
        dy.narrow(0, 0, n).addcmul_(own * scale, x);
        dscale = (dx * x).sum().mul_(share);
        dx.mul_(scale * share);
        dy.mul_(share);
        dbias.mul_(share);
      } else {
        blocks.for_each(y, [&](std::int64_t owner, const at::Tensor& columns) {
          visit(owner, columns, nullptr);
        });
      }
      loss = loss.mul_(share).to(x.scalar_type());
    }
    return with_gradient(inputs, {loss}, times_output_gradient({dx, dy, dscale, dbias})).front();
  }

  TiledSigmoidLossOptions o_;
  Ranks ranks_;
};
static_assert(ContrastiveLoss<TiledSigmoidLoss>);

}  // namespace contrapunto
