// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <concepts>
#include <functional>
#include <utility>

#include "contrapunto/nn/detail/module_pointer.hpp"
#include "contrapunto/nn/forward_cost.hpp"
#include "contrapunto/nn/token_grid.hpp"

namespace contrapunto {

/// A module that mixes the tokens of each sequence: it maps [batch * L, width] to a new tensor of
/// the same shape.
template <class A>
concept AttentionModule = detail::ModuleHolder<A> &&
    requires(A& attention, const at::Tensor& x, const TokenGrid& grid) {
  { attention->forward(x, grid) } -> std::convertible_to<at::Tensor>;
};

/// A type-erased attention, for blocks that must not depend on its type. It converts from a module
/// holder with `Tensor forward(const Tensor& x, const TokenGrid& grid)`. The result must not be `x`
/// itself or share memory with a tensor that is still used, because the block adds the residual in
/// place. These members are used if the module has them:
/// - `Tensor forward_once(x, grid, rows)`: the rows `rows` (int64 [batch], one of each sequence) of
///   `forward(x, grid)`, [batch, width]. Without it the last block computes all rows.
/// - `ForwardCost cost(grid) const`. Without it the cost is estimated from the matrices.
class AnyAttention : public detail::ModulePointer {
 public:
  AnyAttention() = default;

  template <detail::ModuleHolder A>
  AnyAttention(A attention) : ModulePointer(attention.ptr()) {
    static_assert(AttentionModule<A>,
                  "AnyAttention: an attention must have `at::Tensor forward(const at::Tensor& x, "
                  "const TokenGrid& grid)`; see docs/guides/extending.md, Attention");
    if constexpr (AttentionModule<A>)
      forward_ = [attention](const at::Tensor& x, const TokenGrid& grid) mutable -> at::Tensor {
        return attention->forward(x, grid);
      };
    if constexpr (requires(const at::Tensor& x, const TokenGrid& grid) {
                    attention->forward_once(x, grid, x);
                  })
      forward_once_ = [attention](const at::Tensor& x, const TokenGrid& grid,
                                  const at::Tensor& rows) mutable -> at::Tensor {
        return attention->forward_once(x, grid, rows);
      };
    if constexpr (requires(const TokenGrid& grid) { attention->cost(grid); })
      cost_ = [attention](const TokenGrid& grid) -> ForwardCost { return attention->cost(grid); };
  }

  /// Maps `x` [batch * L, width] to a new tensor of the same shape.
  [[nodiscard]] at::Tensor operator()(const at::Tensor& x, const TokenGrid& grid) const {
    return forward_(x, grid);
  }

  /// Returns the rows `rows` (int64 [batch]) of `(*this)(x, grid)`, [batch, width].
  [[nodiscard]] at::Tensor forward_once(const at::Tensor& x, const TokenGrid& grid,
                                        const at::Tensor& rows) const {
    return forward_once_ ? forward_once_(x, grid, rows) : forward_(x, grid).index_select(0, rows);
  }

  /// Returns the cost that the module reports, or an estimate from its matrices.
  [[nodiscard]] ForwardCost cost(const TokenGrid& grid) const {
    return cost_ ? cost_(grid) : detail::cost_of_matrices(**this, grid.batch * grid.length());
  }

 private:
  std::function<at::Tensor(const at::Tensor&, const TokenGrid&)> forward_;
  std::function<at::Tensor(const at::Tensor&, const TokenGrid&, const at::Tensor&)> forward_once_;
  std::function<ForwardCost(const TokenGrid&)> cost_;
};

}  // namespace contrapunto
