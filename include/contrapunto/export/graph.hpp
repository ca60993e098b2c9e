// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace contrapunto {

/// The operators of a Graph. Each has one result. x, y, ... are its inputs and `ints` and `number`
/// the fields of its node. Inputs of arithmetic are broadcast as in NumPy.
enum class GraphOp {
  kInput,        ///< An input of the graph.
  kConstant,     ///< `tensor`, in the dtype of the node.
  kAdd,          ///< x + y
  kSubtract,     ///< x - y
  kMultiply,     ///< x * y
  kDivide,       ///< x / y
  kRelu,         ///< max(x, 0)
  kSigmoid,      ///< 1 / (1 + exp(-x))
  kExp,          ///< exp(x)
  kGelu,         ///< Exact GELU with erf.
  kNorm,         ///< Euclidean norm over the last dimension, which is kept with size 1.
  kSoftmax,      ///< Over the last dimension.
  kMean,         ///< Over dimension ints[0], which is kept with size 1.
  kLayerNorm,    ///< Over the last dimension, with weight y, bias z and epsilon `number`.
  kMatMul,       ///< Products of the last two dimensions; those before are broadcast.
  kAttention,    ///< softmax(number * x y^T + mask) z of queries x, keys y, values z and, if there
                 ///< is a fourth input, a mask; [..., tokens, head width].
  kConvolution,  ///< x [B, C, H, W], weight y [out, C / groups, k, k], bias z [out] if there is a
                 ///< third input; ints = stride, padding, groups.
  kMaxPool,      ///< [B, C, H, W]; ints = side, stride, padding.
  kAveragePool,  ///< [B, C, H, W]; ints = side, which is also the stride; there is no padding.
  kReshape,      ///< To the shape `ints`, where -1 is the number of samples.
  kTranspose,    ///< To the order of dimensions `ints`.
  kSlice,        ///< Entries ints[1] to ints[2], exclusive, of dimension ints[0].
  kPad,          ///< ints[1] zeros before and ints[2] zeros after those of dimension ints[0].
  kConcatenate,  ///< Along dimension ints[0].
  kGather,       ///< The entries y (int64) of dimension ints[0] of x.
  kPick,         ///< Row y[b] (int64 [B]) of each sample b: [B, L, ...] to [B, 1, ...].
  kArgMax,       ///< Index of the largest entry of the last dimension, which is removed; int64.
  kCast          ///< To the dtype of the node.
};

/// The result of a node of a Graph.
struct GraphValue {
  std::size_t node = 0;  ///< Index of the node.
};

struct GraphNode {
  GraphOp op = GraphOp::kInput;
  std::string name;  ///< Unique in the graph: letters, digits, dots and underscores.
  std::vector<GraphValue> inputs = {};
  std::vector<std::int64_t> ints = {};  ///< See GraphOp.
  double number = 0.0;                  ///< See GraphOp.
  at::Tensor tensor = {};               ///< kConstant only; may be a view of a parameter.
  at::ScalarType dtype = at::kFloat;
  std::vector<std::int64_t> shape = {};  ///< -1: number of samples, which is known at run time.
};

struct GraphOutput {
  std::string name;
  GraphValue value;
};

/// What a model computes from its inputs, for the writers of other formats. Nodes stand behind
/// those whose results they read. GraphBuilder makes it, and run_graph computes it.
struct Graph {
  std::vector<GraphNode> nodes;
  std::vector<GraphOutput> outputs;

  [[nodiscard]] const GraphNode& operator[](GraphValue value) const { return nodes[value.node]; }
};

}  // namespace contrapunto
