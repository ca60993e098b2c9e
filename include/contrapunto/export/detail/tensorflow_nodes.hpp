// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifndef CONTRAPUNTO_HAS_EXPORT
#error \
    "Contrapunto: a SavedModel needs the component `export` (protozero): use \
find_package(Contrapunto COMPONENTS export) and link contrapunto::export"
#endif

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/export/detail/graph_def.hpp"
#include "contrapunto/export/graph.hpp"

namespace contrapunto::detail {

/// The four dimensions of a value of the graph in the order in which TensorFlow holds them. Values
/// with more or fewer dimensions always are in the order of the graph.
using DimensionOrder = std::array<std::int64_t, 4>;
inline constexpr DimensionOrder kGraphOrder{0, 1, 2, 3};
// TensorFlow convolves and pools on CPUs only if the channels are the last dimension.
inline constexpr DimensionOrder kChannelsLast{0, 2, 3, 1};
inline constexpr DimensionOrder kKernelOrder{2, 3, 1, 0};           // [k, k, in, out]
inline constexpr DimensionOrder kDepthwiseKernelOrder{2, 3, 0, 1};  // [k, k, channels, 1]

/// Returns where each of the dimensions `sought` stands in `order`.
template <class Order>
DimensionOrder places_of(const DimensionOrder& sought, const Order& order) {
  DimensionOrder places{};
  std::transform(sought.begin(), sought.end(), places.begin(), [&](std::int64_t dimension) {
    return std::find(order.begin(), order.end(), dimension) - order.begin();
  });
  return places;
}

/// A tensor of the TensorFlow graph.
struct TensorflowValue {
  std::string name;
  DimensionOrder order = kGraphOrder;
};

/// A constant of the graph that is a variable in TensorFlow.
struct TensorflowVariable {
  const GraphNode* node;
  DimensionOrder order;

  /// The numbers as they are written, on the CPU.
  [[nodiscard]] at::Tensor tensor() const {
    return (order == kGraphOrder ? node->tensor : node->tensor.permute(order))
        .to(at::TensorOptions(at::kCPU).dtype(node->dtype), /*non_blocking=*/false, /*copy=*/false,
            at::MemoryFormat::Contiguous)
        .contiguous();
  }
  [[nodiscard]] std::vector<std::int64_t> shape() const {
    if (order == kGraphOrder) return node->shape;
    std::vector<std::int64_t> sizes;
    for (const auto dimension : order)
      sizes.push_back(node->shape[static_cast<std::size_t>(dimension)]);
    return sizes;
  }
};

/// Translates the nodes of a Graph into those of a GraphDef. A feature map stays in the order of
/// its convolution until an operator needs another one.
class TensorflowNodes {
 public:
  /// Weights become variables or, with `constants`, constants.
  TensorflowNodes(GraphDef& out, const Graph& graph, bool constants)
      : out_(out), graph_(graph), constants_(constants) {
    for (const auto& node : graph.nodes)
      if (node.op == GraphOp::kConvolution) choose_kernel_order(node);
    for (std::size_t i = 0; i < graph.nodes.size(); ++i) values_.push_back(translated(i));
  }

  /// The name of the tensor of `value`, with the dimensions in the order of the graph.
  std::string plain(GraphValue value) { return ordered(value, kGraphOrder); }

  [[nodiscard]] const std::vector<TensorflowVariable>& variables() const { return variables_; }

 private:
  [[nodiscard]] bool is_depthwise(const GraphNode& node) const {
    const auto channels = graph_[node.inputs[0]].shape[1], groups = node.ints[2];
    TORCH_CHECK(groups == 1 || (groups == channels && node.shape[1] == channels),
                "write_saved_model: the convolution '", node.name, "' has ", groups, " groups of ",
                channels, " channels to ", node.shape[1],
                "; there can be one group, or one for each channel of input and output");
    return groups > 1;
  }

  /// The constant behind a kernel is stored as the convolution needs it.
  void choose_kernel_order(const GraphNode& convolution) {
    auto kernel = convolution.inputs[1];
    while (graph_[kernel].op == GraphOp::kCast) kernel = graph_[kernel].inputs[0];
    if (graph_[kernel].op == GraphOp::kConstant)
      stored_[kernel.node] = is_depthwise(convolution) ? kDepthwiseKernelOrder : kKernelOrder;
  }

  /// The name of the tensor of `value` with the dimensions in `order`.
  std::string ordered(GraphValue value, const DimensionOrder& order) {
    const auto& have = values_[value.node];
    if (have.order == order) return have.name;
    auto& name = reordered_[{value.node, order}];
    if (!name.empty()) return name;
    auto full = graph_[value].name + "/order";
    for (const auto dimension : order) full += "_" + std::to_string(dimension);
    name = transposed(full, have.name, places_of(order, have.order), graph_[value].dtype);
    return name;
  }

  /// The name of input `i` of `node`, with the dimensions in the order of the graph.
  std::string input(const GraphNode& node, std::size_t i) { return plain(node.inputs[i]); }
  std::string axis(const GraphNode& node, std::int64_t dimension) {
    return out_.scalar(node.name + "/axis", static_cast<std::int32_t>(dimension));
  }
  /// Adds a part of `node`, or with an empty `part` the result. Most operators have the attribute
  /// T, which is the dtype of the first input.
  std::string call(const GraphNode& node, const char* part, const char* op,
                   const std::vector<std::string>& inputs,
                   std::vector<TensorflowAttribute> more = {}) {
    more.push_back(type_attribute("T", graph_[node.inputs[0]].dtype));
    return out_.add(node.name + part, op, inputs, more);
  }
  std::string reduced(const GraphNode& node, const char* part, const char* op, const std::string& x,
                      const std::string& axis) {
    return call(node, part, op, {x, axis},
                {type_attribute("Tidx", at::kInt), flag_attribute("keep_dims", true)});
  }
  std::string reshaped(const std::string& name, const std::string& x,
                       const std::vector<std::int64_t>& shape, at::ScalarType type) {
    return out_.add(name, "Reshape", {x, out_.list(name + "/shape", shape)},
                    {type_attribute("T", type), type_attribute("Tshape", at::kInt)});
  }
  template <class Order>
  std::string transposed(const std::string& name, const std::string& x, const Order& order,
                         at::ScalarType type) {
    const auto list = out_.list(name + "/dimensions", {order.begin(), order.end()});
    return out_.add(name, "Transpose", {x, list},
                    {type_attribute("T", type), type_attribute("Tperm", at::kInt)});
  }

  TensorflowValue translated(std::size_t index) {
    const auto& node = graph_.nodes[index];
    switch (node.op) {
      case GraphOp::kInput:
        return {
            out_.add(node.name, "Placeholder", {},
                     {type_attribute("dtype", node.dtype), shape_attribute("shape", node.shape)})};
      case GraphOp::kConstant:
        return constant(index);
      case GraphOp::kAdd:
        return binary(node, "AddV2");
      case GraphOp::kSubtract:
        return binary(node, "Sub");
      case GraphOp::kMultiply:
        return binary(node, "Mul");
      case GraphOp::kDivide:
        return binary(node, "RealDiv");
      case GraphOp::kRelu:
        return unary(node, "Relu");
      case GraphOp::kSigmoid:
        return unary(node, "Sigmoid");
      case GraphOp::kExp:
        return unary(node, "Exp");
      case GraphOp::kGelu:
        return {gelu(node)};
      case GraphOp::kNorm: {
        const auto squares = call(node, "/squares", "Square", {input(node, 0)});
        return {call(node, "", "Sqrt", {reduced(node, "/sum", "Sum", squares, axis(node, -1))})};
      }
      case GraphOp::kSoftmax:
        return {call(node, "", "Softmax", {input(node, 0)})};
      case GraphOp::kMean:
        return {reduced(node, "", "Mean", input(node, 0), axis(node, node.ints[0]))};
      case GraphOp::kLayerNorm:
        return {layer_norm(node)};
      case GraphOp::kMatMul:
        return {product(node)};
      case GraphOp::kAttention:
        return {attention(node)};
      case GraphOp::kConvolution:
        return {convolution(node), kChannelsLast};
      case GraphOp::kMaxPool:
        return {pool(node, "MaxPool", node.ints[1],
                     padded(node, node.ints[2], std::numeric_limits<float>::lowest())),
                kChannelsLast};
      case GraphOp::kAveragePool:
        return {pool(node, "AvgPool", node.ints[0], padded(node, 0, 0.0F)), kChannelsLast};
      case GraphOp::kReshape:
        return {reshaped(node.name, input(node, 0), node.ints, node.dtype)};
      case GraphOp::kTranspose:
        return transpose(node);
      case GraphOp::kSlice:
        return {slice(node)};
      case GraphOp::kPad: {
        std::vector<std::int64_t> sides(2 * node.shape.size(), 0);
        sides[static_cast<std::size_t>(2 * node.ints[0])] = node.ints[1];
        sides[static_cast<std::size_t>(2 * node.ints[0] + 1)] = node.ints[2];
        return {call(node, "", "Pad", {input(node, 0), pad_list(node, sides)},
                     {type_attribute("Tpaddings", at::kInt)})};
      }
      case GraphOp::kConcatenate:
        return {concatenate(node)};
      case GraphOp::kGather:
        return {gather(node, input(node, 1), node.ints[0], 0)};
      case GraphOp::kPick: {
        const auto type = graph_[node.inputs[1]].dtype;
        const auto rows = reshaped(node.name + "/rows", input(node, 1), {-1, 1}, type);
        return {gather(node, rows, 1, 1)};
      }
      case GraphOp::kArgMax:
        return {arg_max(node)};
      case GraphOp::kCast: {
        const auto& x = values_[node.inputs[0].node];
        return {cast(node.name, x.name, graph_[node.inputs[0]].dtype, node.dtype), x.order};
      }
    }
    TORCH_INTERNAL_ASSERT(false, "write_saved_model: node '", node.name,
                          "' has an unknown operator");
  }

  TensorflowValue unary(const GraphNode& node, const char* op) {
    const auto& x = values_[node.inputs[0].node];
    return {call(node, "", op, {x.name}), x.order};
  }

  std::string gelu(const GraphNode& node) {
    const auto x = input(node, 0);
    const auto ratio = out_.scalar(node.name + "/ratio", static_cast<float>(std::sqrt(0.5)));
    const auto scaled = call(node, "/scaled", "Mul", {x, ratio});
    const auto one = out_.scalar(node.name + "/one", 1.0F);
    const auto share = call(node, "/share", "AddV2", {call(node, "/erf", "Erf", {scaled}), one});
    const auto half = call(node, "/half_x", "Mul", {x, out_.scalar(node.name + "/half", 0.5F)});
    return call(node, "", "Mul", {half, share});
  }

  std::string layer_norm(const GraphNode& node) {
    const auto x = input(node, 0), last = axis(node, -1);
    const auto mean = reduced(node, "/mean", "Mean", x, last);
    const auto squares = call(node, "/squares", "SquaredDifference", {x, mean});
    const auto variance = reduced(node, "/variance", "Mean", squares, last);
    const auto epsilon = out_.scalar(node.name + "/epsilon", static_cast<float>(node.number));
    const auto wider = call(node, "/wider", "AddV2", {variance, epsilon});
    const auto centered = call(node, "/centered", "Sub", {x, mean});
    const auto normed =
        call(node, "/normed", "Mul", {centered, call(node, "/factor", "Rsqrt", {wider})});
    const auto scaled = call(node, "/scaled", "Mul", {normed, input(node, 1)});
    return call(node, "", "AddV2", {scaled, input(node, 2)});
  }

  std::string attention(const GraphNode& node) {
    const auto products = call(node, "/products", "BatchMatMulV2", {input(node, 0), input(node, 1)},
                               {flag_attribute("adj_y", true)});
    const auto scale = out_.scalar(node.name + "/scale", static_cast<float>(node.number));
    auto scores = call(node, "/scores", "Mul", {products, scale});
    if (node.inputs.size() > 3) scores = call(node, "/masked", "AddV2", {scores, input(node, 3)});
    const auto shares = call(node, "/shares", "Softmax", {scores});
    return call(node, "", "BatchMatMulV2", {shares, input(node, 2)});
  }

  /// A product of matrices. With one matrix for all it is a single large product, which takes about
  /// half the time on CPUs.
  std::string product(const GraphNode& node) {
    const auto &x = graph_[node.inputs[0]].shape, &y = graph_[node.inputs[1]].shape;
    const auto left = input(node, 0), right = input(node, 1);
    if (y.size() > 2) return call(node, "", "BatchMatMulV2", {left, right});
    if (x.size() == 2) return call(node, "", "MatMul", {left, right});
    const auto rows = reshaped(node.name + "/rows", left, {-1, x.back()}, node.dtype);
    return reshaped(node.name, call(node, "/product", "MatMul", {rows, right}), node.shape,
                    node.dtype);
  }

  /// The result has the channels last.
  std::string convolution(const GraphNode& node) {
    const auto stride = node.ints[0];
    const bool depthwise = is_depthwise(node), biased = node.inputs.size() > 2;
    const auto kernel = ordered(node.inputs[1], depthwise ? kDepthwiseKernelOrder : kKernelOrder);
    const auto map = call(
        node, biased ? "/unbiased" : "", depthwise ? "DepthwiseConv2dNative" : "Conv2D",
        {padded(node, node.ints[1], 0.0F), kernel},
        {numbers_attribute("strides", {1, stride, stride, 1}), text_attribute("padding", "VALID")});
    return biased ? call(node, "", "BiasAdd", {map, input(node, 2)}) : map;
  }

  std::string slice(const GraphNode& node) {
    std::vector<std::int64_t> begin(node.shape.size(), 0), size(node.shape.size(), -1);
    begin[static_cast<std::size_t>(node.ints[0])] = node.ints[1];
    size[static_cast<std::size_t>(node.ints[0])] = node.ints[2] - node.ints[1];
    return call(node, "", "Slice",
                {input(node, 0), out_.list(node.name + "/begin", begin),
                 out_.list(node.name + "/size", size)},
                {type_attribute("Index", at::kInt)});
  }

  std::string concatenate(const GraphNode& node) {
    std::vector<std::string> inputs;
    for (const auto value : node.inputs) inputs.push_back(plain(value));
    const auto count = number_attribute("N", static_cast<std::int64_t>(inputs.size()));
    inputs.push_back(axis(node, node.ints[0]));
    return call(node, "", "ConcatV2", inputs, {count, type_attribute("Tidx", at::kInt)});
  }

  std::string arg_max(const GraphNode& node) {
    auto x = input(node, 0);
    auto type = graph_[node.inputs[0]].dtype;
    if (type == at::kLong) {
      // TensorFlow Lite has no ArgMax of int64; numbers of tokens fit int32.
      x = cast(node.name + "/narrow", x, type, at::kInt);
      type = at::kInt;
    }
    return out_.add(node.name, "ArgMax", {x, axis(node, -1)},
                    {type_attribute("T", type), type_attribute("Tidx", at::kInt),
                     type_attribute("output_type", at::kLong)});
  }

  std::string cast(const std::string& name, const std::string& x, at::ScalarType from,
                   at::ScalarType to) {
    return out_.add(name, "Cast", {x}, {type_attribute("SrcT", from), type_attribute("DstT", to)});
  }

  /// Weights are variables. Lists of integers and single numbers always are constants.
  TensorflowValue constant(std::size_t index) {
    const auto& node = graph_.nodes[index];
    const auto found = stored_.find(index);
    const TensorflowVariable stored{&node, found == stored_.end() ? kGraphOrder : found->second};
    const bool floating = c10::isFloatingType(node.dtype);
    if (constants_ || !floating || node.shape.empty()) {
      check_protobuf_size(static_cast<std::uint64_t>(node.tensor.numel()) *
                          c10::elementSize(node.dtype));
      const auto tensor = stored.tensor();
      const std::string_view bytes(static_cast<const char*>(tensor.const_data_ptr()),
                                   tensor.nbytes());
      return {out_.constant(node.name, node.dtype, stored.shape(), bytes), stored.order};
    }
    const auto type = type_attribute("dtype", node.dtype);
    out_.add(
        node.name, "VarHandleOp", {},
        {type, shape_attribute("shape", stored.shape()), text_attribute("shared_name", node.name)});
    variables_.push_back(stored);
    return {out_.add(node.name + "/read", "ReadVariableOp", {node.name}, {type}), stored.order};
  }

  /// An operator whose inputs are broadcast. The result has the order of an input.
  TensorflowValue binary(const GraphNode& node, const char* op) {
    auto order = kGraphOrder;
    for (const auto value : node.inputs)
      if (order == kGraphOrder) order = values_[value.node].order;
    // A single number fits any order; values of other ranks need that of the graph.
    for (const auto value : node.inputs)
      if (const auto rank = graph_[value].shape.size(); rank > 0 && rank < node.shape.size())
        order = kGraphOrder;
    std::vector<std::string> inputs;
    for (const auto value : node.inputs)
      inputs.push_back(ordered(value, graph_[value].shape.empty() ? kGraphOrder : order));
    return {out_.add(node.name, op, inputs, {type_attribute("T", node.dtype)}), order};
  }

  /// The input of `node` with the channels last and `padding` times `number` on each side.
  std::string padded(const GraphNode& node, std::int64_t padding, float number) {
    auto x = ordered(node.inputs[0], kChannelsLast);
    if (padding == 0) return x;
    const auto sides = pad_list(node, {0, 0, padding, padding, padding, padding, 0, 0});
    const auto filling = out_.scalar(node.name + "/filling", number);
    return out_.add(node.name + "/padded", "PadV2", {x, sides, filling},
                    {type_attribute("T", at::kFloat), type_attribute("Tpaddings", at::kInt)});
  }
  std::string pad_list(const GraphNode& node, const std::vector<std::int64_t>& sides) {
    return out_.list(node.name + "/sides", sides,
                     {static_cast<std::int64_t>(node.shape.size()), 2});
  }

  std::string pool(const GraphNode& node, const char* op, std::int64_t stride,
                   const std::string& x) {
    const auto side = node.ints[0];
    return call(
        node, "", op, {x},
        {numbers_attribute("ksize", {1, side, side, 1}),
         numbers_attribute("strides", {1, stride, stride, 1}), text_attribute("padding", "VALID")});
  }

  /// A transposition between the orders of feature maps only changes how the tensor is seen.
  TensorflowValue transpose(const GraphNode& node) {
    const auto& x = values_[node.inputs[0].node];
    if (node.shape.size() == kGraphOrder.size()) {
      const auto seen = places_of(x.order, node.ints);
      if (seen == kGraphOrder || seen == kChannelsLast) return {x.name, seen};
    }
    return {transposed(node.name, input(node, 0), node.ints, node.dtype)};
  }

  /// Rows of input 0 by the numbers `index`, for each entry of the first `batch_dimensions`.
  std::string gather(const GraphNode& node, const std::string& index, std::int64_t dimension,
                     std::int64_t batch_dimensions) {
    return out_.add(
        node.name, "GatherV2", {input(node, 0), index, axis(node, dimension)},
        {type_attribute("Tparams", node.dtype),
         type_attribute("Tindices", graph_[node.inputs[1]].dtype),
         type_attribute("Taxis", at::kInt), number_attribute("batch_dims", batch_dimensions)});
  }

  GraphDef& out_;
  const Graph& graph_;
  bool constants_;
  std::map<std::size_t, DimensionOrder> stored_;  ///< By node: orders of kernels.
  std::vector<TensorflowValue> values_;           ///< By node.
  std::map<std::pair<std::size_t, DimensionOrder>, std::string> reordered_;
  std::vector<TensorflowVariable> variables_;
};

}  // namespace contrapunto::detail
