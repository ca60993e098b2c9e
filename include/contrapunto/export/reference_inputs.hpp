// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "contrapunto/export/graph.hpp"

namespace contrapunto {

namespace detail {

/// How reference_inputs() makes its numbers, for the files that hold the results.
inline constexpr const char* kReferenceInputs =
    "One sample per input. Entry i, counted from 0 in row-major order, is ((7919 i) mod 1024) / "
    "512 - 1 for float32, (7919 i) mod 256 for uint8, and (7919 i) mod V for int64, where V is "
    "the number of rows of the table of tokens.";

/// The number of rows of the table that is read with the input `index`.
inline std::int64_t table_rows(const Graph& graph, std::size_t index) {
  for (const auto& node : graph.nodes)
    if (node.op == GraphOp::kGather && node.inputs[1].node == index)
      return graph[node.inputs[0]].shape[static_cast<std::size_t>(node.ints[0])];
  return 256;
}

}  // namespace detail

/// Returns inputs of one sample for `graph`, by name, that can be made anew without a generator of
/// random numbers, so that a written file can be checked where it is used. Files hold what they
/// lead to.
[[nodiscard]] inline std::map<std::string, at::Tensor> reference_inputs(const Graph& graph) {
  std::map<std::string, at::Tensor> inputs;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const auto& node = graph.nodes[i];
    if (node.op != GraphOp::kInput) continue;
    auto shape = node.shape;
    std::int64_t size = 1;
    for (auto& side : shape) {
      if (side < 0) side = 1;
      size *= side;
    }
    const auto steps = at::arange(size, at::kLong) * 7919;
    const auto numbers = [&]() -> at::Tensor {
      if (node.dtype == at::kByte) return steps.remainder(256).to(at::kByte);
      if (node.dtype == at::kLong) return steps.remainder(detail::table_rows(graph, i));
      return steps.remainder(1024).to(at::kFloat) / 512.0 - 1.0;
    };
    inputs[node.name] = numbers().view(shape);
  }
  return inputs;
}

}  // namespace contrapunto
