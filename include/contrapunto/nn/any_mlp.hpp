// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <concepts>
#include <functional>

#include "contrapunto/nn/detail/module_pointer.hpp"
#include "contrapunto/nn/forward_cost.hpp"
#include "contrapunto/nn/token_grid.hpp"

namespace contrapunto {

/// A module that maps each token independently: [N, width] to a new tensor of the same shape.
template <class M>
concept MlpModule = detail::ModuleHolder<M> && requires(M& mlp, const at::Tensor& x) {
  { mlp->forward(x) } -> std::convertible_to<at::Tensor>;
};

/// A type-erased MLP, for blocks that must not depend on its type. It converts from a module holder
/// with `Tensor forward(const Tensor& x)`. The result must not be `x` itself or share memory with a
/// tensor that is still used, because the block adds the residual in place. If the module has a
/// member `ForwardCost cost(grid) const`, it is used; otherwise the cost is estimated from the
/// matrices.
class AnyMlp : public detail::ModulePointer {
 public:
  AnyMlp() = default;

  template <detail::ModuleHolder M>
  AnyMlp(M mlp) : ModulePointer(mlp.ptr()) {
    static_assert(MlpModule<M>,
                  "AnyMlp: an MLP must have `at::Tensor forward(const at::Tensor& x)`; see "
                  "docs/guides/extending.md, Attention");
    if constexpr (MlpModule<M>)
      forward_ = [mlp](const at::Tensor& x) mutable -> at::Tensor { return mlp->forward(x); };
    if constexpr (requires(const TokenGrid& grid) { mlp->cost(grid); })
      cost_ = [mlp](const TokenGrid& grid) -> ForwardCost { return mlp->cost(grid); };
  }

  /// Maps `x` [N, width] to a new tensor of the same shape.
  [[nodiscard]] at::Tensor operator()(const at::Tensor& x) const { return forward_(x); }

  /// Returns the cost that the module reports, or an estimate from its matrices.
  [[nodiscard]] ForwardCost cost(const TokenGrid& grid) const {
    return cost_ ? cost_(grid) : detail::cost_of_matrices(**this, grid.batch * grid.length());
  }

 private:
  std::function<at::Tensor(const at::Tensor&)> forward_;
  std::function<ForwardCost(const TokenGrid&)> cost_;
};

}  // namespace contrapunto
