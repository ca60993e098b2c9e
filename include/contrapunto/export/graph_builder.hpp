// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "contrapunto/export/graph.hpp"

namespace contrapunto {

/// Makes a Graph node by node and computes the shapes. Its methods are named as the operators in
/// GraphOp, which says what they do, and raise for shapes that do not fit.
class GraphBuilder {
 public:
  /// Weights are stored in `weight_dtype` (float32, float16 or bfloat16); the graph converts them
  /// to float32, in which it computes.
  explicit GraphBuilder(at::ScalarType weight_dtype = at::kFloat) : weight_dtype_(weight_dtype) {
    TORCH_CHECK(
        weight_dtype == at::kFloat || weight_dtype == at::kHalf || weight_dtype == at::kBFloat16,
        "GraphBuilder: weights cannot be stored as ", weight_dtype,
        "; use float32, float16 or bfloat16");
  }

  /// Names of nodes start with `name` and a dot while the result lives, within the scopes before.
  class [[nodiscard]] Scope {
   public:
    Scope(GraphBuilder& builder, const std::string& name)
        : builder_(builder), outer_(builder.scope_) {
      builder_.scope_ += name + ".";
    }
    ~Scope() { builder_.scope_ = outer_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    GraphBuilder& builder_;
    std::string outer_;
  };
  Scope scope(const std::string& name) { return {*this, name}; }

  /// An input of the graph, whose name does not depend on the scope; -1 in `shape` is the number of
  /// samples.
  GraphValue input(const std::string& name, at::ScalarType dtype,
                   const std::vector<std::int64_t>& shape) {
    GraphNode node{.op = GraphOp::kInput, .name = name, .dtype = dtype, .shape = shape};
    TORCH_CHECK(names_.insert(name).second, "GraphBuilder: there is an input '", name, "' already");
    return append(std::move(node));
  }

  /// A parameter of the model, or a view of it, which is not copied. The result is float32.
  GraphValue weight(const std::string& name, const at::Tensor& tensor) {
    const auto stored = constant(name, tensor, weight_dtype_);
    return weight_dtype_ == at::kFloat ? stored : cast(stored, at::kFloat);
  }

  /// Numbers that are always stored as they are: floating point in float32, others in int64.
  GraphValue constant(const std::string& name, const at::Tensor& tensor) {
    return constant(name, tensor, tensor.is_floating_point() ? at::kFloat : at::kLong);
  }
  GraphValue constant(const std::string& name, double number) {
    return constant(name, at::full({}, number, at::kFloat));
  }

  GraphValue add(GraphValue x, GraphValue y) { return arithmetic(GraphOp::kAdd, "add", x, y); }
  GraphValue subtract(GraphValue x, GraphValue y) {
    return arithmetic(GraphOp::kSubtract, "subtract", x, y);
  }
  GraphValue multiply(GraphValue x, GraphValue y) {
    return arithmetic(GraphOp::kMultiply, "multiply", x, y);
  }
  GraphValue multiply(GraphValue x, double factor) {
    return multiply(x, constant("factor", factor));
  }
  GraphValue divide(GraphValue x, GraphValue y) {
    return arithmetic(GraphOp::kDivide, "divide", x, y);
  }

  GraphValue relu(GraphValue x) { return same(GraphOp::kRelu, "relu", x); }
  GraphValue sigmoid(GraphValue x) { return same(GraphOp::kSigmoid, "sigmoid", x); }
  GraphValue exp(GraphValue x) { return same(GraphOp::kExp, "exp", x); }
  GraphValue gelu(GraphValue x) { return same(GraphOp::kGelu, "gelu", x); }
  GraphValue softmax(GraphValue x) { return same(GraphOp::kSoftmax, "softmax", x); }

  GraphValue norm(GraphValue x) {
    auto shape = shape_of(x);
    shape.back() = 1;
    return append(GraphOp::kNorm, "norm", {x}, std::move(shape));
  }
  GraphValue mean(GraphValue x, std::int64_t dimension) {
    auto shape = shape_of(x);
    shape.at(static_cast<std::size_t>(dimension)) = 1;
    return append(GraphOp::kMean, "mean", {x}, std::move(shape), {dimension});
  }
  GraphValue layer_norm(GraphValue x, GraphValue weight, GraphValue bias, double eps) {
    auto y = append(GraphOp::kLayerNorm, "layer_norm", {x, weight, bias}, shape_of(x));
    graph_.nodes[y.node].number = eps;
    return y;
  }

  GraphValue matmul(GraphValue x, GraphValue y) {
    const auto &a = shape_of(x), &b = shape_of(y);
    TORCH_CHECK(a.size() >= 2 && b.size() >= 2 && a.back() == b[b.size() - 2],
                "GraphBuilder: matrices ", at::IntArrayRef(a), " and ", at::IntArrayRef(b),
                " cannot be multiplied");
    auto shape = broadcast({a.begin(), a.end() - 2}, {b.begin(), b.end() - 2});
    shape.push_back(a[a.size() - 2]);
    shape.push_back(b.back());
    return append(GraphOp::kMatMul, "matmul", {x, y}, std::move(shape));
  }
  /// x W^T + b for a weight [out, in] and a bias [out], which may be undefined.
  GraphValue linear(GraphValue x, const at::Tensor& weight, const at::Tensor& bias) {
    const auto y = matmul(x, this->weight("weight", weight.t()));
    return bias.defined() ? add(y, this->weight("bias", bias)) : y;
  }
  GraphValue attention(GraphValue q, GraphValue k, GraphValue v, double scale) {
    return attention(std::vector<GraphValue>{q, k, v}, scale);
  }
  GraphValue attention(GraphValue q, GraphValue k, GraphValue v, GraphValue mask, double scale) {
    return attention(std::vector<GraphValue>{q, k, v, mask}, scale);
  }

  /// `bias` [out] may be undefined.
  GraphValue convolution(GraphValue x, const at::Tensor& weight, const at::Tensor& bias,
                         std::int64_t stride, std::int64_t padding, std::int64_t groups = 1) {
    const auto kernel = weight.size(2);
    std::vector<GraphValue> inputs{x, this->weight("weight", weight)};
    if (bias.defined()) inputs.push_back(this->weight("bias", bias));
    return append(GraphOp::kConvolution, "convolution", std::move(inputs),
                  map_shape(x, weight.size(0), kernel, stride, padding), {stride, padding, groups});
  }
  GraphValue max_pool(GraphValue x, std::int64_t side, std::int64_t stride, std::int64_t padding) {
    return append(GraphOp::kMaxPool, "max_pool", {x},
                  map_shape(x, shape_of(x)[1], side, stride, padding), {side, stride, padding});
  }
  GraphValue average_pool(GraphValue x, std::int64_t side) {
    return append(GraphOp::kAveragePool, "average_pool", {x},
                  map_shape(x, shape_of(x)[1], side, side, 0), {side});
  }

  GraphValue reshape(GraphValue x, const std::vector<std::int64_t>& shape) {
    TORCH_CHECK(numbers(shape_of(x)) == numbers(shape),
                "GraphBuilder: ", at::IntArrayRef(shape_of(x)), " cannot be reshaped to ",
                at::IntArrayRef(shape));
    return append(GraphOp::kReshape, "reshape", {x}, shape, shape);
  }
  GraphValue transpose(GraphValue x, const std::vector<std::int64_t>& order) {
    std::vector<std::int64_t> shape;
    for (const auto dimension : order)
      shape.push_back(shape_of(x).at(static_cast<std::size_t>(dimension)));
    return append(GraphOp::kTranspose, "transpose", {x}, std::move(shape), order);
  }
  GraphValue slice(GraphValue x, std::int64_t dimension, std::int64_t begin, std::int64_t end) {
    auto shape = shape_of(x);
    auto& size = shape.at(static_cast<std::size_t>(dimension));
    TORCH_CHECK(0 <= begin && begin < end && end <= size, "GraphBuilder: there are no entries ",
                begin, " to ", end, " in dimension ", dimension, " of ", at::IntArrayRef(shape));
    if (begin == 0 && end == size) return x;
    size = end - begin;
    return append(GraphOp::kSlice, "slice", {x}, std::move(shape), {dimension, begin, end});
  }
  GraphValue pad(GraphValue x, std::int64_t dimension, std::int64_t before, std::int64_t after) {
    if (before == 0 && after == 0) return x;
    auto shape = shape_of(x);
    shape.at(static_cast<std::size_t>(dimension)) += before + after;
    return append(GraphOp::kPad, "pad", {x}, std::move(shape), {dimension, before, after});
  }
  GraphValue concatenate(const std::vector<GraphValue>& values, std::int64_t dimension) {
    auto shape = shape_of(values.front());
    auto& size = shape.at(static_cast<std::size_t>(dimension));
    for (std::size_t i = 1; i < values.size(); ++i)
      size += shape_of(values[i]).at(static_cast<std::size_t>(dimension));
    return append(GraphOp::kConcatenate, "concatenate", values, std::move(shape), {dimension});
  }
  GraphValue gather(GraphValue x, GraphValue index, std::int64_t dimension) {
    const auto& from = shape_of(x);
    const auto& entries = shape_of(index);
    std::vector<std::int64_t> shape(from.begin(), from.begin() + dimension);
    shape.insert(shape.end(), entries.begin(), entries.end());
    shape.insert(shape.end(), from.begin() + dimension + 1, from.end());
    return append(GraphOp::kGather, "gather", {x, index}, std::move(shape), {dimension});
  }
  GraphValue pick(GraphValue x, GraphValue rows) {
    auto shape = shape_of(x);
    shape.at(1) = 1;
    return append(GraphOp::kPick, "pick", {x, rows}, std::move(shape));
  }
  GraphValue arg_max(GraphValue x) {
    auto shape = shape_of(x);
    shape.pop_back();
    const auto y = append(GraphOp::kArgMax, "arg_max", {x}, std::move(shape));
    graph_.nodes[y.node].dtype = at::kLong;
    return y;
  }
  GraphValue cast(GraphValue x, at::ScalarType dtype) {
    const auto y = same(GraphOp::kCast, "cast", x);
    graph_.nodes[y.node].dtype = dtype;
    return y;
  }

  /// Names a result of the graph.
  void output(const std::string& name, GraphValue value) {
    TORCH_CHECK(names_.insert(name).second, "GraphBuilder: the name of the output '", name,
                "' is taken");
    graph_.outputs.push_back({name, value});
  }

  /// Returns the shape of a value; -1 is the number of samples.
  [[nodiscard]] const std::vector<std::int64_t>& shape_of(GraphValue value) const {
    return graph_[value].shape;
  }
  [[nodiscard]] const Graph& graph() const { return graph_; }

 private:
  GraphValue append(GraphNode node) {
    graph_.nodes.push_back(std::move(node));
    return {graph_.nodes.size() - 1};
  }

  GraphValue append(GraphOp op, const std::string& name, std::vector<GraphValue> inputs,
                    std::vector<std::int64_t> shape, std::vector<std::int64_t> ints = {}) {
    const auto dtype = graph_[inputs.front()].dtype;
    return append(GraphNode{.op = op,
                            .name = unique(name),
                            .inputs = std::move(inputs),
                            .ints = std::move(ints),
                            .dtype = dtype,
                            .shape = std::move(shape)});
  }

  GraphValue constant(const std::string& name, const at::Tensor& tensor, at::ScalarType dtype) {
    return append(GraphNode{.op = GraphOp::kConstant,
                            .name = unique(name),
                            .tensor = tensor.detach(),
                            .dtype = dtype,
                            .shape = tensor.sizes().vec()});
  }

  GraphValue same(GraphOp op, const std::string& name, GraphValue x) {
    return append(op, name, {x}, shape_of(x));
  }

  GraphValue arithmetic(GraphOp op, const std::string& name, GraphValue x, GraphValue y) {
    TORCH_CHECK(graph_[x].dtype == graph_[y].dtype, "GraphBuilder: ", name, " of ", graph_[x].dtype,
                " and ", graph_[y].dtype);
    return append(op, name, {x, y}, broadcast(shape_of(x), shape_of(y)));
  }

  GraphValue attention(const std::vector<GraphValue>& inputs, double scale) {
    auto shape = shape_of(inputs[0]);
    shape.back() = shape_of(inputs[2]).back();
    const auto y = append(GraphOp::kAttention, "attention", inputs, std::move(shape));
    graph_.nodes[y.node].number = scale;
    return y;
  }

  /// The shape of a feature map [B, channels, H, W] after a kernel has passed over `x`.
  [[nodiscard]] std::vector<std::int64_t> map_shape(GraphValue x, std::int64_t channels,
                                                    std::int64_t side, std::int64_t stride,
                                                    std::int64_t padding) const {
    const auto& from = shape_of(x);
    const auto along = [&](std::int64_t size) { return (size + 2 * padding - side) / stride + 1; };
    return {from.at(0), channels, along(from.at(2)), along(from.at(3))};
  }

  [[nodiscard]] static std::vector<std::int64_t> broadcast(std::vector<std::int64_t> a,
                                                           std::vector<std::int64_t> b) {
    if (a.size() < b.size()) std::swap(a, b);
    for (std::size_t i = 0; i < b.size(); ++i) {
      auto& size = a[a.size() - b.size() + i];
      TORCH_CHECK(size == b[i] || size == 1 || b[i] == 1, "GraphBuilder: shapes ",
                  at::IntArrayRef(a), " and ", at::IntArrayRef(b), " do not go together");
      if (size == 1) size = b[i];
    }
    return a;
  }

  /// The numbers of a sample: the product of all sizes but the number of samples.
  [[nodiscard]] static std::int64_t numbers(const std::vector<std::int64_t>& shape) {
    std::int64_t product = 1;
    for (const auto size : shape) product *= std::abs(size);
    return product;
  }

  std::string unique(const std::string& name) {
    auto full = scope_ + name;
    for (std::int64_t i = 1; !names_.insert(full).second; ++i)
      full = scope_ + name + "_" + std::to_string(i);
    return full;
  }

  at::ScalarType weight_dtype_;
  Graph graph_;
  std::string scope_;
  std::unordered_set<std::string> names_;
};

}  // namespace contrapunto
