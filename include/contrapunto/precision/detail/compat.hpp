// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/Context.h>

#include <type_traits>

namespace contrapunto::detail {

/// Sets matrix products and convolutions with LibTorch's newer setter, whose arguments are strings
/// in 2.9 and enumerations later.
template <class Backend, class Op, class Precision>
void set_float32_precision(at::Context& context, void (at::Context::*set)(Backend, Op, Precision),
                           bool allow_tf32) {
  if constexpr (std::is_enum_v<Backend>) {
    const auto precision = allow_tf32 ? Precision::TF32 : Precision::IEEE;
    (context.*set)(Backend::CUDA, Op::MATMUL, precision);
    (context.*set)(Backend::CUDA, Op::CONV, precision);
  } else {
    const char* precision = allow_tf32 ? "tf32" : "ieee";
    (context.*set)("cuda", "matmul", precision);
    (context.*set)("cuda", "conv", precision);
  }
}

/// Sets, for the whole process, whether float32 matrix products and convolutions on CUDA may round
/// their inputs to TF32. This is the only place that depends on LibTorch's versions of this switch.
template <class Context = at::Context>
void set_tf32(bool allow, Context& context = at::globalContext()) {
  // The old setters also set what the new one sets and what the old getters compare with. If only
  // the new setter is used, the old getters raise, and LibTorch's profiler has called them.
  if constexpr (requires { context.setAllowTF32CuBLAS(allow), context.setAllowTF32CuDNN(allow); }) {
    context.setAllowTF32CuBLAS(allow);
    context.setAllowTF32CuDNN(allow);
  } else {
    set_float32_precision(context, &Context::setFloat32Precision, allow);
  }
}

}  // namespace contrapunto::detail
