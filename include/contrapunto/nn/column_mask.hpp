// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

namespace contrapunto {

/// A parametrization that multiplies the columns of a matrix by a mask: the inputs of a linear
/// layer. An entry of the mask stands for `repeat` columns, such as those of a head. The mask
/// becomes the parameter `unit_mask`; see ParametrizedModule::parametrize.
class ColumnMaskImpl : public torch::nn::Module {
 public:
  explicit ColumnMaskImpl(const at::Tensor& mask, std::int64_t repeat = 1) : repeat_(repeat) {
    unit_mask = register_parameter("unit_mask", mask);
  }

  /// Maps `weight` [out, in] to the same shape and dtype. Raises unless in = repeat * mask size.
  [[nodiscard]] at::Tensor forward(const at::Tensor& weight) const {
    TORCH_CHECK(weight.dim() == 2 && weight.size(1) == repeat_ * unit_mask.numel(),
                "ColumnMask: a mask of ", unit_mask.numel(), " units of ", repeat_,
                " columns does not fit a weight ", weight.sizes());
    return weight * unit_mask.to(weight.scalar_type()).repeat_interleave(repeat_);
  }

  at::Tensor unit_mask;  ///< [in / repeat]

 private:
  std::int64_t repeat_;
};
TORCH_MODULE(ColumnMask);

}  // namespace contrapunto
