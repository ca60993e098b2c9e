// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifndef CONTRAPUNTO_HAS_EXPORT
#error "writing ONNX needs `find_package(Contrapunto COMPONENTS export)` and contrapunto::export"
#endif

#include <ATen/core/Tensor.h>
#include <ATen/ops/tensor.h>
#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>

#include <cmath>
#include <cstdint>
#include <map>
#include <protozero/pbf_writer.hpp>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/export/graph.hpp"

namespace contrapunto::detail {

/// Tensor dtypes of ONNX (TensorProto.DataType).
inline std::int32_t onnx_dtype(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return 1;
    case at::kByte:
      return 2;
    case at::kLong:
      return 7;
    case at::kHalf:
      return 10;
    case at::kBFloat16:
      return 16;
    default:
      TORCH_CHECK(false, "write_onnx: tensors of ", dtype, " cannot be written");
  }
}

/// A tensor that stands in the file.
struct OnnxInitializer {
  std::string name;
  at::Tensor tensor;  // May have another dtype and order in memory than the file.
  at::ScalarType dtype;

  [[nodiscard]] std::int64_t bytes() const {
    return tensor.numel() * static_cast<std::int64_t>(c10::elementSize(dtype));
  }
};

/// Attributes of a node: AttributeProto{1 name, 2 f, 3 i, 8 ints, 20 type}.
struct OnnxAttributes {
  std::vector<std::pair<std::string, std::int64_t>> ints = {};
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> lists = {};
  std::vector<std::pair<std::string, double>> floats = {};
};

/// Translates a Graph to nodes of ONNX (NodeProto), and lists the tensors that they read.
class OnnxGraph {
 public:
  OnnxGraph(const Graph& graph, std::int64_t opset) : graph_(graph), opset_(opset) {
    for (const auto& node : graph.nodes) translate(node);
    for (const auto& output : graph.outputs)
      emit("Identity", {graph_[output.value].name}, output.name);
  }

  /// The nodes as fields of a GraphProto.
  [[nodiscard]] const std::string& nodes() const { return nodes_; }
  [[nodiscard]] const std::vector<OnnxInitializer>& initializers() const { return initializers_; }

 private:
  using Ints = std::vector<std::int64_t>;
  /// Appends NodeProto{1 input, 2 output, 3 name, 4 op_type, 5 attribute}.
  void emit(const char* op, const std::vector<std::string>& inputs, const std::string& output,
            const OnnxAttributes& attributes = {}) {
    protozero::pbf_writer all(nodes_);
    protozero::pbf_writer node(all, 1);
    for (const auto& input : inputs) node.add_string(1, input);
    node.add_string(2, output);
    node.add_string(3, output);
    node.add_string(4, op);
    for (const auto& [name, number] : attributes.ints) {
      protozero::pbf_writer attribute(node, 5);
      attribute.add_string(1, name);
      attribute.add_int64(3, number);
      attribute.add_enum(20, 2);
    }
    for (const auto& [name, numbers] : attributes.lists) {
      protozero::pbf_writer attribute(node, 5);
      attribute.add_string(1, name);
      for (const auto number : numbers) attribute.add_int64(8, number);
      attribute.add_enum(20, 7);
    }
    for (const auto& [name, number] : attributes.floats) {
      protozero::pbf_writer attribute(node, 5);
      attribute.add_string(1, name);
      attribute.add_float(2, static_cast<float>(number));
      attribute.add_enum(20, 1);
    }
  }

  /// The name of a list of integers, which is written once.
  const std::string& list(const Ints& numbers) {
    auto& name = lists_[numbers];
    if (name.empty()) {
      name = "list_" + std::to_string(lists_.size());
      initializers_.push_back({name, at::tensor(numbers, at::kLong), at::kLong});
    }
    return name;
  }

  /// The name of a number, which is written once.
  const std::string& number(double value) {
    auto& name = numbers_[value];
    if (name.empty()) {
      name = "number_" + std::to_string(numbers_.size());
      initializers_.push_back({name, at::tensor(value, at::kFloat), at::kFloat});
    }
    return name;
  }

  /// A reduction, whose axes became an input with opset 18.
  void reduce(const char* op, const std::string& input, const std::string& output,
              std::int64_t axis) {
    if (opset_ >= 18)
      emit(op, {input, list({axis})}, output, {.ints = {{"keepdims", 1}}});
    else
      emit(op, {input}, output, {.ints = {{"keepdims", 1}}, .lists = {{"axes", {axis}}}});
  }

  void gelu(const std::string& input, const std::string& output) {
    if (opset_ >= 20) return emit("Gelu", {input}, output);
    // The order in which ONNX Runtime finds and fuses it.
    emit("Div", {input, number(std::sqrt(2.0))}, output + "/scaled");
    emit("Erf", {output + "/scaled"}, output + "/erf");
    emit("Add", {output + "/erf", number(1.0)}, output + "/shifted");
    emit("Mul", {input, output + "/shifted"}, output + "/product");
    emit("Mul", {output + "/product", number(0.5)}, output);
  }

  void attention(const GraphNode& node, const std::vector<std::string>& in) {
    const auto& name = node.name;
    const auto rank = node.shape.size();
    if (opset_ >= 23 && rank == 4)
      return emit("Attention", in, name, {.floats = {{"scale", node.number}}});
    Ints order;
    for (std::size_t i = 0; i < rank; ++i) order.push_back(static_cast<std::int64_t>(i));
    std::swap(order[rank - 1], order[rank - 2]);
    emit("Mul", {in[0], number(node.number)}, name + "/queries");
    emit("Transpose", {in[1]}, name + "/keys", {.lists = {{"perm", order}}});
    emit("MatMul", {name + "/queries", name + "/keys"}, name + "/scores");
    if (in.size() > 3) emit("Add", {name + "/scores", in[3]}, name + "/masked");
    emit("Softmax", {in.size() > 3 ? name + "/masked" : name + "/scores"}, name + "/shares",
         {.ints = {{"axis", -1}}});
    emit("MatMul", {name + "/shares", in[2]}, name);
  }

  void translate(const GraphNode& node) {
    const auto& name = node.name;
    const auto& ints = node.ints;
    std::vector<std::string> in;
    for (const auto value : node.inputs) in.push_back(graph_[value].name);
    const auto square = [](std::int64_t side) { return Ints{side, side}; };
    const auto around = [](std::int64_t side) { return Ints{side, side, side, side}; };
    switch (node.op) {
      case GraphOp::kInput:
        return;
      case GraphOp::kConstant:
        initializers_.push_back({name, node.tensor, node.dtype});
        return;
      case GraphOp::kAdd:
        return emit("Add", in, name);
      case GraphOp::kSubtract:
        return emit("Sub", in, name);
      case GraphOp::kMultiply:
        return emit("Mul", in, name);
      case GraphOp::kDivide:
        return emit("Div", in, name);
      case GraphOp::kRelu:
        return emit("Relu", in, name);
      case GraphOp::kSigmoid:
        return emit("Sigmoid", in, name);
      case GraphOp::kExp:
        return emit("Exp", in, name);
      case GraphOp::kGelu:
        return gelu(in[0], name);
      case GraphOp::kNorm:
        return reduce("ReduceL2", in[0], name, -1);
      case GraphOp::kSoftmax:
        return emit("Softmax", in, name, {.ints = {{"axis", -1}}});
      case GraphOp::kMean:
        return reduce("ReduceMean", in[0], name, ints[0]);
      case GraphOp::kLayerNorm:
        return emit("LayerNormalization", in, name,
                    {.ints = {{"axis", -1}}, .floats = {{"epsilon", node.number}}});
      case GraphOp::kMatMul:
        return emit("MatMul", in, name);
      case GraphOp::kAttention:
        return attention(node, in);
      case GraphOp::kConvolution:
        return emit("Conv", in, name,
                    {.ints = {{"group", ints[2]}},
                     .lists = {{"strides", square(ints[0])}, {"pads", around(ints[1])}}});
      case GraphOp::kMaxPool:
        return emit("MaxPool", in, name,
                    {.lists = {{"kernel_shape", square(ints[0])},
                               {"strides", square(ints[1])},
                               {"pads", around(ints[2])}}});
      case GraphOp::kAveragePool:
        return emit("AveragePool", in, name,
                    {.lists = {{"kernel_shape", square(ints[0])}, {"strides", square(ints[0])}}});
      case GraphOp::kReshape:
        return emit("Reshape", {in[0], list(ints)}, name);
      case GraphOp::kTranspose:
        return emit("Transpose", in, name, {.lists = {{"perm", ints}}});
      case GraphOp::kSlice:
        return emit("Slice", {in[0], list({ints[1]}), list({ints[2]}), list({ints[0]})}, name);
      case GraphOp::kPad: {
        Ints pads(2 * node.shape.size(), 0);
        pads[static_cast<std::size_t>(ints[0])] = ints[1];
        pads[node.shape.size() + static_cast<std::size_t>(ints[0])] = ints[2];
        return emit("Pad", {in[0], list(pads)}, name);
      }
      case GraphOp::kConcatenate:
        return emit("Concat", in, name, {.ints = {{"axis", ints[0]}}});
      case GraphOp::kGather:
        return emit("Gather", in, name, {.ints = {{"axis", ints[0]}}});
      case GraphOp::kPick:
        emit("Unsqueeze", {in[1], list({1})}, name + "/index");
        emit("GatherND", {in[0], name + "/index"}, name + "/rows", {.ints = {{"batch_dims", 1}}});
        return emit("Unsqueeze", {name + "/rows", list({1})}, name);
      case GraphOp::kArgMax:
        return emit("ArgMax", in, name, {.ints = {{"axis", -1}, {"keepdims", 0}}});
      case GraphOp::kCast:
        return emit("Cast", in, name, {.ints = {{"to", onnx_dtype(node.dtype)}}});
    }
    TORCH_INTERNAL_ASSERT(false, "unknown GraphOp");
  }

  const Graph& graph_;
  std::int64_t opset_;
  std::string nodes_;
  std::vector<OnnxInitializer> initializers_;
  std::map<Ints, std::string> lists_;
  std::map<double, std::string> numbers_;
};

}  // namespace contrapunto::detail
