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
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <numbers>
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
    const auto steps = places_of(order, have.order);
    const auto list = out_.list(full + "/dimensions", {steps.begin(), steps.end()});
    name = transposed(full, have.name, list, graph_[value].dtype);
    return name;
  }
  std::string transposed(const std::string& name, const std::string& x, const std::string& order,
                         at::ScalarType type) {
    return out_.add(name, "Transpose", {x, order},
                    {type_attribute("T", type), type_attribute("Tperm", at::kInt)});
  }

  TensorflowValue translated(std::size_t index) {
    const auto& node = graph_.nodes[index];
    const auto& name = node.name;
    const auto input = [&](std::size_t i) { return plain(node.inputs[i]); };
    const auto part = [&](const char* suffix) { return name + "/" + suffix; };
    const auto type = node.inputs.empty() ? node.dtype : graph_[node.inputs[0]].dtype;
    const auto type_of_input = type_attribute("T", type);
    const auto call = [&](const std::string& as, const char* op,
                          const std::vector<std::string>& inputs,
                          std::vector<TensorflowAttribute> more = {}) {
      more.push_back(type_of_input);
      return out_.add(as, op, inputs, more);
    };
    const auto unary = [&](const char* op) -> TensorflowValue {
      const auto& x = values_[node.inputs[0].node];
      return {call(name, op, {x.name}), x.order};
    };
    const auto reduced = [&](const std::string& as, const char* op, const std::string& x,
                             const std::string& axis) {
      return call(as, op, {x, axis},
                  {type_attribute("Tidx", at::kInt), flag_attribute("keep_dims", true)});
    };
    const auto matmul = [&](const std::string& as, const std::string& x, const std::string& y,
                            bool transposes) {
      return call(as, "BatchMatMulV2", {x, y}, {flag_attribute("adj_y", transposes)});
    };
    const auto axis = [&](std::int64_t dimension) {
      return out_.scalar(part("axis"), static_cast<std::int32_t>(dimension));
    };
    switch (node.op) {
      case GraphOp::kInput:
        return {out_.add(name, "Placeholder", {},
                         {type_attribute("dtype", type), shape_attribute("shape", node.shape)})};
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
        return unary("Relu");
      case GraphOp::kSigmoid:
        return unary("Sigmoid");
      case GraphOp::kExp:
        return unary("Exp");
      case GraphOp::kGelu: {
        const auto x = input(0);
        const auto ratio = out_.scalar(part("ratio"), static_cast<float>(1 / std::numbers::sqrt2));
        const auto erf = call(part("erf"), "Erf", {call(part("scaled"), "Mul", {x, ratio})});
        const auto share = call(part("share"), "AddV2", {erf, out_.scalar(part("one"), 1.0F)});
        const auto half = call(part("half_x"), "Mul", {x, out_.scalar(part("half"), 0.5F)});
        return {call(name, "Mul", {half, share})};
      }
      case GraphOp::kNorm: {
        const auto squares = call(part("squares"), "Square", {input(0)});
        return {call(name, "Sqrt", {reduced(part("sum"), "Sum", squares, axis(-1))})};
      }
      case GraphOp::kSoftmax:
        return {call(name, "Softmax", {input(0)})};
      case GraphOp::kMean:
        return {reduced(name, "Mean", input(0), axis(node.ints[0]))};
      case GraphOp::kLayerNorm: {
        const auto x = input(0), last = axis(-1);
        const auto mean = reduced(part("mean"), "Mean", x, last);
        const auto squares = call(part("squares"), "SquaredDifference", {x, mean});
        const auto variance = reduced(part("variance"), "Mean", squares, last);
        const auto epsilon = out_.scalar(part("epsilon"), static_cast<float>(node.number));
        const auto factor =
            call(part("factor"), "Rsqrt", {call(part("wider"), "AddV2", {variance, epsilon})});
        const auto centered = call(part("centered"), "Sub", {x, mean});
        const auto normed = call(part("normed"), "Mul", {centered, factor});
        return {call(name, "AddV2", {call(part("scaled"), "Mul", {normed, input(1)}), input(2)})};
      }
      case GraphOp::kMatMul:
        return {matmul(name, input(0), input(1), false)};
      case GraphOp::kAttention: {
        const auto products = matmul(part("products"), input(0), input(1), true);
        const auto scale = out_.scalar(part("scale"), static_cast<float>(node.number));
        auto scores = call(part("scores"), "Mul", {products, scale});
        if (node.inputs.size() > 3) scores = call(part("masked"), "AddV2", {scores, input(3)});
        return {matmul(name, call(part("shares"), "Softmax", {scores}), input(2), false)};
      }
      case GraphOp::kConvolution: {
        const auto stride = node.ints[0], padding = node.ints[1];
        const bool depthwise = is_depthwise(node);
        const auto kernel =
            ordered(node.inputs[1], depthwise ? kDepthwiseKernelOrder : kKernelOrder);
        const bool biased = node.inputs.size() > 2;
        const auto map =
            call(biased ? part("unbiased") : name, depthwise ? "DepthwiseConv2dNative" : "Conv2D",
                 {padded(node, padding, 0.0F), kernel},
                 {numbers_attribute("strides", {1, stride, stride, 1}),
                  text_attribute("padding", "VALID")});
        return {biased ? call(name, "BiasAdd", {map, input(2)}) : map, kChannelsLast};
      }
      case GraphOp::kMaxPool:
        return pool(node, "MaxPool", node.ints[1],
                    padded(node, node.ints[2], std::numeric_limits<float>::lowest()));
      case GraphOp::kAveragePool:
        return pool(node, "AvgPool", node.ints[0], ordered(node.inputs[0], kChannelsLast));
      case GraphOp::kReshape:
        return {call(name, "Reshape", {input(0), out_.list(part("shape"), node.ints)},
                     {type_attribute("Tshape", at::kInt)})};
      case GraphOp::kTranspose:
        return transpose(node);
      case GraphOp::kSlice: {
        std::vector<std::int64_t> begin(node.shape.size(), 0), size(node.shape.size(), -1);
        begin[static_cast<std::size_t>(node.ints[0])] = node.ints[1];
        size[static_cast<std::size_t>(node.ints[0])] = node.ints[2] - node.ints[1];
        return {call(name, "Slice",
                     {input(0), out_.list(part("begin"), begin), out_.list(part("size"), size)},
                     {type_attribute("Index", at::kInt)})};
      }
      case GraphOp::kPad: {
        std::vector<std::int64_t> sides(2 * node.shape.size(), 0);
        sides[static_cast<std::size_t>(2 * node.ints[0])] = node.ints[1];
        sides[static_cast<std::size_t>(2 * node.ints[0] + 1)] = node.ints[2];
        return {call(name, "Pad", {input(0), pad_list(node, sides)},
                     {type_attribute("Tpaddings", at::kInt)})};
      }
      case GraphOp::kConcatenate: {
        std::vector<std::string> inputs;
        for (const auto value : node.inputs) inputs.push_back(plain(value));
        const auto count = number_attribute("N", static_cast<std::int64_t>(inputs.size()));
        inputs.push_back(axis(node.ints[0]));
        return {call(name, "ConcatV2", inputs, {count, type_attribute("Tidx", at::kInt)})};
      }
      case GraphOp::kGather:
        return {gather(node, input(1), axis(node.ints[0]), 0)};
      case GraphOp::kPick: {
        const auto column =
            out_.add(part("rows"), "Reshape", {input(1), out_.list(part("rows/shape"), {-1, 1})},
                     {type_attribute("T", graph_[node.inputs[1]].dtype),
                      type_attribute("Tshape", at::kInt)});
        return {gather(node, column, axis(1), 1)};
      }
      case GraphOp::kArgMax: {
        // TensorFlow Lite has no ArgMax of int64; numbers of tokens fit int32.
        const bool wide = type == at::kLong;
        const auto x = wide ? cast(part("narrow"), input(0), type, at::kInt) : input(0);
        return {
            out_.add(name, "ArgMax", {x, axis(-1)},
                     {type_attribute("T", wide ? at::kInt : type), type_attribute("Tidx", at::kInt),
                      type_attribute("output_type", at::kLong)})};
      }
      case GraphOp::kCast: {
        const auto& x = values_[node.inputs[0].node];
        return {cast(name, x.name, type, node.dtype), x.order};
      }
    }
    TORCH_INTERNAL_ASSERT(false, "write_saved_model: node '", name, "' has an unknown operator");
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
    const auto x = ordered(node.inputs[0], kChannelsLast);
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

  TensorflowValue pool(const GraphNode& node, const char* op, std::int64_t stride,
                       const std::string& x) {
    const auto side = node.ints[0];
    return {
        out_.add(node.name, op, {x},
                 {type_attribute("T", node.dtype), numbers_attribute("ksize", {1, side, side, 1}),
                  numbers_attribute("strides", {1, stride, stride, 1}),
                  text_attribute("padding", "VALID")}),
        kChannelsLast};
  }

  /// A transposition between the orders of feature maps only changes how the tensor is seen.
  TensorflowValue transpose(const GraphNode& node) {
    const auto& x = values_[node.inputs[0].node];
    if (node.shape.size() == kGraphOrder.size()) {
      const auto seen = places_of(x.order, node.ints);
      if (seen == kGraphOrder || seen == kChannelsLast) return {x.name, seen};
    }
    const auto order = out_.list(node.name + "/dimensions", node.ints);
    return {transposed(node.name, plain(node.inputs[0]), order, node.dtype)};
  }

  std::string gather(const GraphNode& node, const std::string& index, const std::string& axis,
                     std::int64_t batch_dimensions) {
    return out_.add(
        node.name, "GatherV2", {plain(node.inputs[0]), index, axis},
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
