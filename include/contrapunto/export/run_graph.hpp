// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/export/graph.hpp"

namespace contrapunto {

namespace detail {

/// Computes `node` from the values of its inputs `in`, on the CPU.
inline at::Tensor run_node(const GraphNode& node, const std::vector<at::Tensor>& in) {
  const auto& ints = node.ints;
  const auto third = [&] { return in.size() > 2 ? std::optional(in[2]) : std::nullopt; };
  switch (node.op) {
    case GraphOp::kInput:
      break;
    case GraphOp::kConstant:
      return node.tensor.to(at::kCPU, node.dtype);
    case GraphOp::kAdd:
      return in[0] + in[1];
    case GraphOp::kSubtract:
      return in[0] - in[1];
    case GraphOp::kMultiply:
      return in[0] * in[1];
    case GraphOp::kDivide:
      return in[0] / in[1];
    case GraphOp::kRelu:
      return at::relu(in[0]);
    case GraphOp::kSigmoid:
      return at::sigmoid(in[0]);
    case GraphOp::kExp:
      return in[0].exp();
    case GraphOp::kGelu:
      return at::gelu(in[0]);
    case GraphOp::kNorm:
      return at::linalg_vector_norm(in[0], 2, at::IntArrayRef(-1), /*keepdim=*/true);
    case GraphOp::kSoftmax:
      return at::softmax(in[0], -1);
    case GraphOp::kMean:
      return in[0].mean(ints[0], /*keepdim=*/true);
    case GraphOp::kLayerNorm:
      return at::layer_norm(in[0], in[1].sizes(), in[1], in[2], node.number);
    case GraphOp::kMatMul:
      return at::matmul(in[0], in[1]);
    case GraphOp::kAttention: {
      auto scores = at::matmul(in[0], in[1].transpose(-2, -1)) * node.number;
      if (in.size() > 3) scores = scores + in[3];
      return at::matmul(at::softmax(scores, -1), in[2]);
    }
    case GraphOp::kConvolution:
      return at::conv2d(in[0], in[1], third(), ints[0], ints[1], 1, ints[2]);
    case GraphOp::kMaxPool:
      return at::max_pool2d(in[0], ints[0], ints[1], ints[2]);
    case GraphOp::kAveragePool:
      return at::avg_pool2d(in[0], ints[0]);
    case GraphOp::kReshape:
      return in[0].reshape(ints);
    case GraphOp::kTranspose:
      return in[0].permute(ints);
    case GraphOp::kSlice:
      return in[0].narrow(ints[0], ints[1], ints[2] - ints[1]);
    case GraphOp::kPad: {
      // The list starts with the last dimension.
      std::vector<std::int64_t> sides(static_cast<std::size_t>(2 * (in[0].dim() - ints[0])), 0);
      sides[sides.size() - 2] = ints[1];
      sides[sides.size() - 1] = ints[2];
      return at::constant_pad_nd(in[0], sides);
    }
    case GraphOp::kConcatenate:
      return at::cat(in, ints[0]);
    case GraphOp::kGather: {
      auto shape = in[0].sizes().vec();
      const auto at = shape.erase(shape.begin() + ints[0]);
      shape.insert(at, in[1].sizes().begin(), in[1].sizes().end());
      return in[0].index_select(ints[0], in[1].flatten()).reshape(shape);
    }
    case GraphOp::kPick: {
      std::vector<at::Tensor> rows;
      for (std::int64_t b = 0; b < in[0].size(0); ++b)
        rows.push_back(in[0].narrow(0, b, 1).narrow(1, in[1][b].item<std::int64_t>(), 1));
      return at::cat(rows, 0);
    }
    case GraphOp::kArgMax:
      return in[0].argmax(-1);
    case GraphOp::kCast:
      return in[0].to(node.dtype);
  }
  TORCH_INTERNAL_ASSERT(false, "run_graph: node '", node.name, "' cannot be computed");
}

}  // namespace detail

/// Computes the outputs of `graph` on the CPU, by name, from `inputs`, by name. It computes what
/// the written formats describe, node by node, so it tells whether a graph is right before it is
/// written; it is not a fast way to use a model. Raises for an input that is missing or does not
/// fit.
[[nodiscard]] inline std::map<std::string, at::Tensor> run_graph(
    const Graph& graph, const std::map<std::string, at::Tensor>& inputs) {
  const at::NoGradGuard no_grad;
  std::vector<std::size_t> uses(graph.nodes.size(), 0);
  for (const auto& node : graph.nodes)
    for (const auto value : node.inputs) ++uses[value.node];
  for (const auto& output : graph.outputs) ++uses[output.value.node];
  std::vector<at::Tensor> values(graph.nodes.size());
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const auto& node = graph.nodes[i];
    if (node.op == GraphOp::kInput) {
      const auto found = inputs.find(node.name);
      TORCH_CHECK(found != inputs.end(), "run_graph: the input '", node.name, "' is missing");
      const auto& value = found->second;
      const auto fits = [&] {
        if (value.dim() != static_cast<std::int64_t>(node.shape.size())) return false;
        for (std::size_t d = 0; d < node.shape.size(); ++d)
          if (node.shape[d] >= 0 && value.size(static_cast<std::int64_t>(d)) != node.shape[d])
            return false;
        return value.scalar_type() == node.dtype;
      };
      TORCH_CHECK(fits(), "run_graph: the input '", node.name, "' is ", value.scalar_type(), " ",
                  value.sizes(), ", expected ", node.dtype, " ", at::IntArrayRef(node.shape));
      values[i] = value;
      continue;
    }
    std::vector<at::Tensor> in;
    for (const auto value : node.inputs) in.push_back(values[value.node]);
    values[i] = detail::run_node(node, in);
    for (const auto value : node.inputs)
      if (--uses[value.node] == 0) values[value.node].reset();
  }
  std::map<std::string, at::Tensor> outputs;
  for (const auto& output : graph.outputs) outputs[output.name] = values[output.value.node];
  return outputs;
}

}  // namespace contrapunto
