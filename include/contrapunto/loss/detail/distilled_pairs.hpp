// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "contrapunto/core/loss_terms.hpp"
#include "contrapunto/distributed/all_reduce_value.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/loss/detail/column_blocks.hpp"
#include "contrapunto/loss/detail/pair_sums.hpp"
#include "contrapunto/loss/detail/tiles.hpp"

namespace contrapunto::detail {

/// The features by which one model compares this rank's pairs; tensors without a graph.
struct ModelFeatures {
  at::Tensor x = {}, y = {};  ///< [B, D], of the same dtype for all models; D may differ.
  at::Tensor scale = {};      ///< []
  at::Tensor bias = {};       ///< []; undefined if there is none.
  double weight = 1.0;        ///< Of a teacher: its share of the targets.
};

/// The matrices of logits of a student (model 0) and its teachers, processed tile by tile. With
/// several ranks the rows are this rank's and the columns those of all ranks. The features of all
/// models are packed side by side, so that they travel in the same exchange.
class DistilledPairs {
 public:
  /// A tile of the same pairs in all matrices.
  struct View {
    const DistilledPairs& all;
    Tile& tile;
    const at::Tensor& block;  ///< Packed columns of one rank.
    std::int64_t begin;       ///< First column of the block among those of all ranks.
    at::Tensor& student;      ///< [rows, columns], the student's logits; a visitor replaces them
                              ///< by their gradient, of at most 2.

    /// Writes the logits of model `k` to `out` [rows, columns].
    void logits(std::size_t k, at::Tensor& out) const { all.write_logits(k, *this, out); }
  };
  struct Gradients {
    at::Tensor x, y, scale;
  };

  DistilledPairs(std::vector<ModelFeatures> models, bool ring, const TileOptions& tiles,
                 Ranks ranks)
      : models_(std::move(models)),
        tiles_(tiles),
        ranks_(std::move(ranks)),
        packed_(pack(models_, &ModelFeatures::y)),
        blocks_(ranks_, pack(models_, &ModelFeatures::x), packed_, ring) {
    const auto device = packed_.device();
    const auto kind = sum_dtype(packed_);
    std::vector<double> lengths;
    for (auto& model : models_) {
      model.scale = model.scale.to(device, kind).squeeze();
      if (model.bias.defined()) model.bias = model.bias.to(device, kind).squeeze();
      lengths.push_back(longest_row(model.x));
      lengths.push_back(longest_row(model.y));
    }
    auto longest = at::tensor(lengths, at::TensorOptions(at::kDouble).device(device));
    if (ranks_.size() > 1) longest = ranks_.all_gather(longest).amax(0);
    longest = longest.cpu();
    std::int64_t first = 0;
    for (std::size_t k = 0; k < models_.size(); ++k) {
      const auto i = static_cast<std::int64_t>(2 * k);
      const auto& model = models_[k];
      matrices_.push_back({.x = model.x,
                           .scale = model.scale,
                           .first = first,
                           .width = model.y.size(1),
                           .bound = longest[i].item<double>() * longest[i + 1].item<double>() *
                                    std::abs(model.scale.item<double>()),
                           .block = [](std::int64_t, std::int64_t) { return PairBlock{}; }});
      first += model.y.size(1);
    }
  }

  [[nodiscard]] const std::vector<ModelFeatures>& models() const { return models_; }
  [[nodiscard]] std::int64_t rows() const { return packed_.size(0); }
  [[nodiscard]] std::int64_t all_rows() const { return blocks_.all_rows(); }
  /// This rank's part of values of all columns.
  [[nodiscard]] at::Tensor own(const at::Tensor& columns) const {
    return columns.narrow(0, blocks_.begin(ranks_.rank()), rows());
  }
  /// Options of sums.
  [[nodiscard]] at::TensorOptions where() const {
    return at::TensorOptions(sum_dtype(packed_)).device(packed_.device());
  }

  /// Sums the exponentials of all matrices in one exchange. Collective.
  [[nodiscard]] std::vector<PairSums> sums() const {
    return sum_pairs(blocks_, packed_, matrices_, tiles_, ranks_);
  }

  /// Calls `visit(View&)` for all tiles. If `differentiable`, it returns the gradients of the
  /// student's features and scale, multiplied by `share`. Collective.
  template <class Visit>
  Gradients for_each(bool differentiable, double share, const Visit& visit) const {
    const auto& own = matrices_.front();
    const auto& x = own.x;
    const bool late_scale = goes_the_way_of_cuda(x, tiles_);
    const double factor = gradient_factor(product_dtype(x, tiles_));
    GradientTiles gradients;
    at::Tensor dx;
    if (differentiable) dx = at::zeros(x.sizes(), where());
    const auto each = [&](std::int64_t owner, const at::Tensor& block, at::Tensor* sum) {
      for_each_tile(x, own.y_of(block), own.scale, {}, tiles_, false, [&](Tile& tile) {
        multiply(tile);
        auto& s = tile.products;
        if (late_scale) s.mul_(own.scale);
        if (models_.front().bias.defined()) s.add_(models_.front().bias);
        View view{*this, tile, block, blocks_.begin(owner), s};
        visit(view);
        if (!differentiable) return;
        auto g = gradients.of(tile);
        if (factor != 1.0) s.mul_(factor);
        if (!g.is_same(s)) g.copy_(s);
        add_wide_mm_(dx.narrow(0, tile.row, tile.rows), g, tile.column_block);
        add_wide_mm_(sum->narrow(0, tile.column, tile.columns), g.t(), tile.row_block);
      });
      if (differentiable && late_scale) sum->mul_(own.scale);
    };
    if (!differentiable) {
      blocks_.for_each(packed_, [&](std::int64_t owner, const at::Tensor& block) {
        each(owner, block, nullptr);
      });
      return {};
    }
    auto dy = blocks_.for_each_and_sum(packed_, own.width, where(),
                                       [&](std::int64_t owner, const at::Tensor& block,
                                           at::Tensor& sum) { each(owner, block, &sum); });
    const auto dscale = (dx * x).sum().mul_(share / factor);
    return {dx.mul_(own.scale * (share / factor)), dy.mul_(share / factor), dscale};
  }

 private:
  [[nodiscard]] static at::Tensor pack(const std::vector<ModelFeatures>& models,
                                       at::Tensor ModelFeatures::*side) {
    std::vector<at::Tensor> parts;
    for (const auto& model : models) parts.push_back(model.*side);
    return at::cat(parts, 1);
  }

  void write_logits(std::size_t k, const View& view, at::Tensor& out) const {
    const auto& matrix = matrices_[k];
    const auto& tile = view.tile;
    const auto kind = product_dtype(matrix.x, tiles_);
    const auto rows = matrix.x.narrow(0, tile.row, tile.rows);
    const auto columns = matrix.y_of(view.block).narrow(0, tile.column, tile.columns).to(kind);
    if (goes_the_way_of_cuda(matrix.x, tiles_)) {
      wide_mm_out(out, rows.to(kind), columns.t());
      out.mul_(matrix.scale);
    } else {
      wide_mm_out(out, rows * matrix.scale, columns.t());
    }
    if (models_[k].bias.defined()) out.add_(models_[k].bias);
  }

  std::vector<ModelFeatures> models_;
  TileOptions tiles_;
  Ranks ranks_;
  at::Tensor packed_;  // [B, sum of the widths], y of all models.
  ColumnBlocks blocks_;
  std::vector<PairMatrix> matrices_;
};

/// Memory for several tiles at once, which is reused from tile to tile.
class TileMemory {
 public:
  /// Makes room for `count` tiles of the shape of `like`.
  void fit(const at::Tensor& like, std::int64_t count) {
    if (!memory_.defined() || memory_.numel() < count * like.numel())
      memory_ = at::empty({count * like.numel()}, like.options());
    shape_ = like.sizes().vec();
    size_ = like.numel();
  }
  [[nodiscard]] at::Tensor operator[](std::int64_t i) const {
    return memory_.narrow(0, i * size_, size_).view(shape_);
  }

 private:
  at::Tensor memory_;
  std::vector<std::int64_t> shape_;
  std::int64_t size_ = 0;
};

/// This rank's share of a distillation loss; float64 [].
struct DistilledShare {
  at::Tensor cross_entropy;   ///< Differentiable.
  at::Tensor target_entropy;  ///< The cross-entropy of a student that equals the targets.

  /// Returns the loss of all ranks in the dtype `kind`, with both values as its parts. Collective.
  [[nodiscard]] LossTerms terms(bool subtract_entropy, at::ScalarType kind,
                                const Ranks& ranks) const {
    const auto all = all_reduce_value(cross_entropy, ranks);
    const auto entropy = all_reduce_value(target_entropy, ranks);
    return {(subtract_entropy ? all - entropy : all).to(kind),
            {{"cross_entropy", all.detach().to(kind)}, {"target_entropy", entropy.to(kind)}}};
  }
};

}  // namespace contrapunto::detail
