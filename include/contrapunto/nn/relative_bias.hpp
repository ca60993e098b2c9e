// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/full.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/upsample_bicubic2d.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <algorithm>
#include <cstdint>

#include "contrapunto/nn/detail/initialize.hpp"
#include "contrapunto/nn/linear.hpp"

namespace contrapunto {

/// What is added to the attention scores, by the distance of two tokens of the plane.
enum class RelativeBiasKind {
  kNone,
  kTable,      ///< A learned number for each distance, head by head, as in Swin and BEiT.
  kContinuous  ///< A small network of the logarithms of the distances, as in Swin V2.
};

struct RelativeBiasOptions {
  RelativeBiasKind kind = RelativeBiasKind::kTable;
  std::int64_t heads = 8;
  std::int64_t rows = 7;      ///< Of the plane, or of a window if the attention has windows.
  std::int64_t columns = 7;   ///< Likewise.
  std::int64_t prefix = 0;    ///< Tokens before the plane.
  std::int64_t hidden = 512;  ///< Width of the network of kContinuous.
  /// The rows and columns with which the network of kContinuous was trained first; 0: those of this
  /// plane. Distances are measured in this unit, so that the network fits another plane.
  std::int64_t trained_side = 0;
};

/// A bias on the attention scores that depends on the relative position of query and key. Prefix
/// tokens have no position: with a table they share three numbers (prefix to plane, plane to
/// prefix, among themselves), which are its last rows; otherwise their bias is 0.
/// References: Liu et al. 2021, https://arxiv.org/abs/2103.14030; Bao et al. 2021,
/// https://arxiv.org/abs/2106.08254; Liu et al. 2021, https://arxiv.org/abs/2111.09883
class RelativeBiasImpl : public torch::nn::Module {
 public:
  explicit RelativeBiasImpl(RelativeBiasOptions options,
                            const at::TensorOptions& tensor_options = {})
      : o_(options) {
    TORCH_CHECK(o_.rows > 0 && o_.columns > 0 && o_.heads > 0, "RelativeBias: rows (", o_.rows,
                "), columns (", o_.columns, ") and heads (", o_.heads, ") must be positive");
    if (o_.kind == RelativeBiasKind::kTable) {
      table = register_parameter(
          "table", detail::truncated_normal_tensor(
                       {distances(o_.rows, o_.columns) + (o_.prefix > 0 ? 3 : 0), o_.heads}, 0.02,
                       tensor_options));
    } else {
      fc1 = register_module(
          "fc1",
          Linear(LinearOptions{.in_features = 2, .out_features = o_.hidden}, tensor_options));
      fc2 = register_module("fc2", Linear(LinearOptions{.in_features = o_.hidden,
                                                        .out_features = o_.heads,
                                                        .with_bias = false},
                                          tensor_options));
    }
  }

  /// Returns the bias [heads, prefix + rows * columns, prefix + rows * columns], query by key.
  [[nodiscard]] at::Tensor forward() const { return of_plane(o_.rows, o_.columns); }

  /// Returns the bias of another plane or window, of `rows` x `columns`: the table is resized on
  /// the way by bicubic interpolation, so gradients reach it, and the network reads the distances
  /// of that plane in the unit of its own.
  [[nodiscard]] at::Tensor of_plane(std::int64_t rows, std::int64_t columns) const {
    const auto device = table.defined() ? table.device() : fc1->weight.device();
    const auto tokens = rows * columns;
    const auto index = distance_index(rows, columns, device);  // [tokens, tokens]
    if (o_.kind == RelativeBiasKind::kContinuous) {
      const auto distances = log_distances(rows, columns, fc1->weight.options());
      const auto numbers = 16 * at::sigmoid(fc2->forward(at::relu(fc1->forward(distances))));
      const auto plane = numbers.index_select(0, index.flatten())
                             .view({tokens, tokens, o_.heads})
                             .permute({2, 0, 1});
      return at::constant_pad_nd(plane, {o_.prefix, 0, o_.prefix, 0});
    }
    auto all = index;
    if (o_.prefix > 0) {
      const auto same = [&](std::int64_t queries, std::int64_t keys, std::int64_t entry) {
        return at::full({queries, keys}, distances(rows, columns) + entry, index.options());
      };
      all = at::cat({at::cat({same(o_.prefix, o_.prefix, 2), same(o_.prefix, tokens, 0)}, 1),
                     at::cat({same(tokens, o_.prefix, 1), index}, 1)},
                    0);
    }
    const bool own = rows == o_.rows && columns == o_.columns;
    return (own ? table : resize_table(table, o_.rows, o_.columns, rows, columns))
        .index_select(0, all.flatten())
        .view({all.size(0), all.size(1), o_.heads})
        .permute({2, 0, 1});
  }

  /// Fits the bias to a plane, or a window, of `rows` x `columns`. A table is resized by bicubic
  /// interpolation and changes its shape, so call this before the optimizer is created. A
  /// network keeps its unit of distance.
  void resize(std::int64_t rows, std::int64_t columns) {
    const at::NoGradGuard no_grad;
    const auto old_rows = o_.rows, old_columns = o_.columns;
    if (o_.kind == RelativeBiasKind::kContinuous && o_.trained_side == 0)
      o_.trained_side = old_rows;
    o_.rows = rows, o_.columns = columns;
    if (o_.kind != RelativeBiasKind::kTable || (rows == old_rows && columns == old_columns)) return;
    table.set_data(resize_table(table, old_rows, old_columns, rows, columns));
  }

  /// Returns `source`, the table of a plane of `old_rows` x `old_columns`, for a plane of `rows` x
  /// `columns`. Rows of prefix tokens are kept.
  [[nodiscard]] static at::Tensor resize_table(const at::Tensor& source, std::int64_t old_rows,
                                               std::int64_t old_columns, std::int64_t rows,
                                               std::int64_t columns) {
    const auto old_cells = (2 * old_rows - 1) * (2 * old_columns - 1);
    TORCH_CHECK(source.dim() == 2 && source.size(0) >= old_cells, "RelativeBias: a table ",
                source.sizes(), " is not of a plane of ", old_rows, " x ", old_columns);
    const auto cells = source.narrow(0, 0, old_cells);
    const auto map = cells.to(at::kFloat)
                         .t()
                         .reshape({1, source.size(1), 2 * old_rows - 1, 2 * old_columns - 1});
    const auto resized =
        at::upsample_bicubic2d(map, {2 * rows - 1, 2 * columns - 1}, /*align_corners=*/false)
            .reshape({source.size(1), -1})
            .t()
            .to(source.scalar_type());
    return at::cat({resized, source.narrow(0, old_cells, source.size(0) - old_cells)}, 0);
  }

  [[nodiscard]] const RelativeBiasOptions& options() const { return o_; }

  at::Tensor table;  ///< [(2 rows - 1) (2 columns - 1) + (3 with a prefix), heads]; kTable only.
  Linear fc1 = nullptr;  ///< kContinuous only.
  Linear fc2 = nullptr;  ///< kContinuous only; without a bias.

 private:
  [[nodiscard]] static std::int64_t distances(std::int64_t rows, std::int64_t columns) {
    return (2 * rows - 1) * (2 * columns - 1);
  }

  /// The row of the table for each query and key of a plane, [tokens, tokens].
  [[nodiscard]] static at::Tensor distance_index(std::int64_t rows, std::int64_t columns,
                                                 const at::Device& device) {
    const auto cell = at::arange(rows * columns, at::TensorOptions(at::kLong).device(device));
    const auto row = cell.div(columns, "floor"), column = cell.remainder(columns);
    const auto down = row.unsqueeze(1) - row.unsqueeze(0) + (rows - 1);
    const auto across = column.unsqueeze(1) - column.unsqueeze(0) + (columns - 1);
    return down * (2 * columns - 1) + across;
  }

  /// sign(d) log2(1 + |d|) / log2(8) of distances d in a plane of `rows` x `columns`, of which the
  /// largest of this plane, or of that of `trained_side`, is 8; [distances, 2].
  [[nodiscard]] at::Tensor log_distances(std::int64_t rows, std::int64_t columns,
                                         const at::TensorOptions& like) const {
    const auto axis = [&](std::int64_t size, std::int64_t own) {
      const auto unit = o_.trained_side > 0 ? o_.trained_side : own;
      const auto d = at::arange(-(size - 1), size, like.requires_grad(false)) *
                     (8.0 / static_cast<double>(std::max<std::int64_t>(unit - 1, 1)));
      return d.sign() * (d.abs() + 1).log2() / 3.0;
    };
    const auto down = axis(rows, o_.rows), across = axis(columns, o_.columns);
    const auto shape = {down.size(0), across.size(0)};
    return at::stack({down.unsqueeze(1).expand(shape), across.unsqueeze(0).expand(shape)}, 2)
        .reshape({-1, 2});
  }

  RelativeBiasOptions o_;
};
TORCH_MODULE(RelativeBias);

}  // namespace contrapunto
