// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/polar.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/view_as_complex.h>
#include <ATen/ops/view_as_real.h>
#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cmath>
#include <cstdint>
#include <numbers>

#include "contrapunto/core/keeps_float32.hpp"
#include "contrapunto/nn/token_grid.hpp"

namespace contrapunto {

enum class RotaryKind {
  kNone,
  kAxial,  ///< Half of each head turns with the column and half with the row, at fixed rates.
  kMixed   ///< Learned rates of row and column for each pair of numbers of each head.
};

struct RotaryOptions {
  RotaryKind kind = RotaryKind::kNone;
  std::int64_t heads = 8;
  std::int64_t head_width = 64;  ///< Must be a multiple of 4.
  /// Base of the rates: 10000 in EVA-02, 100 in the axial form of ROPE-ViT, 10 in its mixed form.
  double temperature = 10'000.0;
  /// Side of the plane to which positions are scaled, so that a finer plane covers the same range;
  /// 0: positions count tokens.
  std::int64_t trained_side = 0;
  double offset = 0.0;        ///< Added to positions before they are scaled.
  bool columns_first = true;  ///< kAxial: which half of a head turns with the column.
};

/// Rotary position embedding in two dimensions: neighboring numbers of queries and keys are turned,
/// as complex numbers, by angles that are linear in row and column, so that scores depend on
/// distances. Prefix tokens are not turned. Angles and rotation are float32 (float64 for float64
/// inputs) under every precision.
/// References: Fang et al. 2023, https://arxiv.org/abs/2303.11331; Heo et al. 2024,
/// https://arxiv.org/abs/2403.13298
class RotaryEmbeddingImpl : public torch::nn::Module, public KeepsFloat32 {
 public:
  explicit RotaryEmbeddingImpl(RotaryOptions options, const at::TensorOptions& tensor_options = {})
      : o_(options) {
    TORCH_CHECK(o_.kind != RotaryKind::kNone && o_.head_width > 0 && o_.head_width % 4 == 0,
                "RotaryEmbedding: head_width (", o_.head_width, ") must be a multiple of 4");
    TORCH_CHECK(o_.temperature > 0.0, "RotaryEmbedding: temperature (", o_.temperature,
                ") must be positive");
    if (o_.kind != RotaryKind::kMixed) return;
    // Each head starts with the axial rates, turned in the plane by a random angle.
    const auto pairs = o_.head_width / 2;
    const auto turn = at::empty({o_.heads, 1}, tensor_options).uniform_(0.0, 2 * std::numbers::pi);
    const auto rates = axial_rates(tensor_options).unsqueeze(0);
    const auto quarter = std::numbers::pi / 2;
    const auto along = [&](const at::Tensor& angle) { return rates * at::cos(angle); };
    const auto upon = [&](const at::Tensor& angle) { return rates * at::sin(angle); };
    frequencies = register_parameter("frequencies",
                                     at::stack({at::cat({along(turn), along(turn + quarter)}, 1),
                                                at::cat({upon(turn), upon(turn + quarter)}, 1)},
                                               0));
    TORCH_INTERNAL_ASSERT(frequencies.size(2) == pairs);
  }

  /// Turns the patches of `x` [batch, L, heads, head_width] and returns the same shape and dtype.
  [[nodiscard]] at::Tensor forward(const at::Tensor& x, const TokenGrid& grid) const {
    const auto compute = c10::promoteTypes(x.scalar_type(), at::kFloat);
    const auto angle = angles(grid, x.options().dtype(compute));
    const auto patches = x.narrow(1, grid.prefix, grid.rows * grid.columns).to(compute);
    const auto turned =
        at::view_as_real(at::view_as_complex(patches.unflatten(3, {-1, 2}).contiguous()) *
                         at::polar(at::ones_like(angle), angle))
            .flatten(3)
            .to(x.scalar_type());
    return grid.prefix == 0 ? turned : at::cat({x.narrow(1, 0, grid.prefix), turned}, 1);
  }

  /// Returns the angles of the patches, [rows * columns, heads or 1, head_width / 2].
  [[nodiscard]] at::Tensor angles(const TokenGrid& grid, const at::TensorOptions& options) const {
    const auto cell = at::arange(grid.rows * grid.columns, options.dtype(at::kLong));
    const auto position = [&](const at::Tensor& index, std::int64_t size) {
      const double unit = o_.trained_side > 0
                              ? static_cast<double>(o_.trained_side) / static_cast<double>(size)
                              : 1.0;
      return ((index.to(options.dtype()) + o_.offset) * unit).view({-1, 1, 1});
    };
    const auto row = position(cell.div(grid.columns, "floor"), grid.rows);
    const auto column = position(cell.remainder(grid.columns), grid.columns);
    if (o_.kind == RotaryKind::kMixed) {
      const auto rates = frequencies.to(options.dtype());
      return column * rates[0].unsqueeze(0) + row * rates[1].unsqueeze(0);
    }
    const auto rates = axial_rates(options);
    return o_.columns_first ? at::cat({column * rates, row * rates}, 2)
                            : at::cat({row * rates, column * rates}, 2);
  }

  [[nodiscard]] const RotaryOptions& options() const { return o_; }

  at::Tensor frequencies;  ///< [2, heads, head_width / 2], of column and row; kMixed only.

 private:
  /// temperature^(-4 i / head_width) for i = 0 ... head_width / 4 - 1.
  [[nodiscard]] at::Tensor axial_rates(const at::TensorOptions& options) const {
    const auto exponent = at::arange(o_.head_width / 4, options.requires_grad(false)) *
                          (4.0 / static_cast<double>(o_.head_width));
    return (exponent * -std::log(o_.temperature)).exp();
  }

  RotaryOptions o_;
};
TORCH_MODULE(RotaryEmbedding);

}  // namespace contrapunto
