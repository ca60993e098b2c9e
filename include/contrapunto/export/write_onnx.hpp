// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifndef CONTRAPUNTO_HAS_EXPORT
#error "writing ONNX needs `find_package(Contrapunto COMPONENTS export)` and contrapunto::export"
#endif

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iomanip>
#include <map>
#include <protozero/pbf_writer.hpp>
#include <protozero/varint.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/export/detail/onnx_graph.hpp"
#include "contrapunto/export/graph.hpp"
#include "contrapunto/export/reference_inputs.hpp"
#include "contrapunto/export/run_graph.hpp"
#include "contrapunto/io/atomic_file.hpp"
#include "contrapunto/version.hpp"

namespace contrapunto {

struct OnnxOptions {
  /// 17, 18, 20 or 23: the operators that may be used. The graph has GELU as one operator from 20
  /// on, and attention from 23 on.
  std::int64_t opset = 17;
  /// Tensors stand in a file of their own, FILE.data, beside FILE. This is done anyway if the file
  /// would not be under 2 GiB, which is as much as protobuf can hold.
  bool external_data = false;
  /// The file tells what the graph computes from reference_inputs(), so that it can be checked
  /// where it is used. This computes the graph once.
  bool reference = true;
  std::map<std::string, std::string> metadata = {};  ///< Further entries of `metadata_props`.
};

namespace detail {

/// The first byte of field `field` whose length comes before it (wire type 2), and the length.
inline std::string length_prefix(std::uint32_t field, std::int64_t length) {
  std::string bytes;
  protozero::add_varint_to_buffer(&bytes, (field << 3U) | 2U);
  protozero::add_varint_to_buffer(&bytes, static_cast<std::uint64_t>(length));
  return bytes;
}

/// The numbers of the first sample, with nine digits, which tell float32 numbers apart.
inline std::string numbers_text(const at::Tensor& tensor) {
  const auto flat = tensor.to(at::kFloat).flatten().contiguous();
  std::ostringstream text;
  text << std::setprecision(9);
  for (std::int64_t i = 0; i < flat.numel(); ++i)
    text << (i > 0 ? " " : "") << flat.data_ptr<float>()[i];
  return text.str();
}

/// The inputs of `graph` from which `value` is computed, in their order.
inline std::vector<std::size_t> inputs_of(const Graph& graph, GraphValue value) {
  std::vector<bool> reached(graph.nodes.size(), false);
  reached[value.node] = true;
  for (auto i = value.node + 1; i-- > 0;)
    if (reached[i])
      for (const auto input : graph.nodes[i].inputs) reached[input.node] = true;
  std::vector<std::size_t> inputs;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i)
    if (reached[i] && graph.nodes[i].op == GraphOp::kInput) inputs.push_back(i);
  return inputs;
}

/// ValueInfoProto{1 name, 2 TypeProto{1 tensor{1 dtype, 2 shape{1 dim{1 value, 2 parameter}}}}}.
/// Numbers of samples have the names `batches`, the last of which serves for all others.
inline void add_onnx_value(protozero::pbf_writer& graph, std::uint32_t field,
                           const std::string& name, const GraphNode& node,
                           const std::vector<std::string>& batches) {
  protozero::pbf_writer value(graph, field);
  value.add_string(1, name);
  protozero::pbf_writer type(value, 2);
  protozero::pbf_writer tensor(type, 1);
  tensor.add_int32(1, onnx_dtype(node.dtype));
  protozero::pbf_writer shape(tensor, 2);
  std::size_t batch = 0;
  for (const auto size : node.shape) {
    protozero::pbf_writer dimension(shape, 1);
    if (size >= 0) {
      dimension.add_int64(1, size);
    } else {
      dimension.add_string(2, batches[std::min(batch, batches.size() - 1)]);
      ++batch;
    }
  }
}

/// Where each tensor of a model stands: within the model, or in a file of data beside it.
class OnnxLayout {
 public:
  /// Long tensors stand in the file `data_name`, unless it is empty. Short ones stay in the model,
  /// because runtimes read lists before they load tensors.
  OnnxLayout(const std::vector<OnnxInitializer>& tensors, const std::string& data_name)
      : tensors_(tensors) {
    constexpr std::int64_t kShort = 1024;
    for (const auto& tensor : tensors) {
      const auto size = tensor.bytes();
      const bool outside = !data_name.empty() && size >= kShort;
      std::string head;
      protozero::pbf_writer writer(head);
      const auto sizes = tensor.tensor.sizes();
      writer.add_packed_int64(1, sizes.begin(), sizes.end());
      writer.add_int32(2, onnx_dtype(tensor.dtype));
      writer.add_string(8, tensor.name);
      if (outside) {
        const std::pair<const char*, std::string> entries[] = {{"location", data_name},
                                                               {"offset", std::to_string(end_)},
                                                               {"length", std::to_string(size)}};
        for (const auto& [key, value] : entries) {
          protozero::pbf_writer entry(writer, 13);
          entry.add_string(1, key);
          entry.add_string(2, value);
        }
        writer.add_enum(14, 1);
      } else {
        head += length_prefix(9, size);
      }
      const auto within = outside ? 0 : size;
      heads_.push_back(length_prefix(5, static_cast<std::int64_t>(head.size()) + within) + head);
      offsets_.push_back(outside ? end_ : kWithin);
      length_ += static_cast<std::int64_t>(heads_.back().size()) + within;
      if (outside) end_ = (end_ + size + kPage - 1) / kPage * kPage;
    }
  }

  /// Bytes of the tensors as fields of a GraphProto.
  [[nodiscard]] std::int64_t length() const { return length_; }
  [[nodiscard]] bool has_data() const { return end_ > 0; }

  /// Writes TensorProto{1 dims, 2 dtype, 8 name, 9 raw_data, 13 external_data, 14 data_location} of
  /// each tensor.
  void write_tensors(AtomicFile& file) const {
    for (std::size_t i = 0; i < heads_.size(); ++i) {
      file.write(heads_[i]);
      if (offsets_[i] == kWithin) write_numbers(file, tensors_[i]);
    }
  }

  /// Writes the file of data.
  void write_data(AtomicFile& file) const {
    std::int64_t written = 0;
    for (std::size_t i = 0; i < heads_.size(); ++i) {
      if (offsets_[i] == kWithin) continue;
      file.write(std::string(static_cast<std::size_t>(offsets_[i] - written), '\0'));
      write_numbers(file, tensors_[i]);
      written = offsets_[i] + tensors_[i].bytes();
    }
  }

 private:
  static constexpr std::int64_t kPage = 4096;  // Runtimes may map tensors that begin with a page.
  static constexpr std::int64_t kWithin = -1;

  /// One tensor is converted at a time.
  static void write_numbers(AtomicFile& file, const OnnxInitializer& tensor) {
    const auto numbers = tensor.tensor.to(at::kCPU, tensor.dtype).contiguous();
    file.write({static_cast<const char*>(numbers.const_data_ptr()),
                static_cast<std::size_t>(numbers.nbytes())});
  }

  const std::vector<OnnxInitializer>& tensors_;
  std::vector<std::string> heads_;
  std::vector<std::int64_t> offsets_;
  std::int64_t length_ = 0;
  std::int64_t end_ = 0;  // Of the file of data.
};

}  // namespace detail

/// Writes `graph` as an ONNX model. Its inputs and outputs keep their names, and the number of
/// samples of an input has the name of the input. Tensors are written one after another, so that
/// the memory beside the model is that of its largest tensor. The files appear as a whole and
/// replace older ones. Raises for an opset that is not listed, and if a file cannot be written.
/// Reference: https://onnx.ai/onnx/repo-docs/IR.html
inline void write_onnx(const std::filesystem::path& path, const Graph& graph,
                       const OnnxOptions& options = {}) {
  const std::map<std::int64_t, std::int64_t> versions{{17, 8}, {18, 8}, {20, 9}, {23, 11}};
  const auto version = versions.find(options.opset);
  TORCH_CHECK(version != versions.end(), "write_onnx: opset ", options.opset,
              " is not supported; use 17, 18, 20 or 23");
  const detail::OnnxGraph onnx(graph, options.opset);

  std::int64_t bytes = 0;
  for (const auto& initializer : onnx.initializers()) bytes += initializer.bytes();
  constexpr std::int64_t kLargestProtobuf = (std::int64_t{1} << 31) - (std::int64_t{1} << 24);
  auto data_path = path;
  data_path += ".data";
  const detail::OnnxLayout layout(onnx.initializers(),
                                  options.external_data || bytes > kLargestProtobuf
                                      ? data_path.filename().string()
                                      : std::string());

  // GraphProto{1 node, 2 name, 5 initializer, 11 input, 12 output}.
  std::string values;
  {
    protozero::pbf_writer writer(values);
    writer.add_string(2, "contrapunto");
    for (const auto& node : graph.nodes)
      if (node.op == GraphOp::kInput)
        detail::add_onnx_value(writer, 11, node.name, node, {node.name});
    for (const auto& output : graph.outputs) {
      std::vector<std::string> batches;
      for (const auto input : detail::inputs_of(graph, output.value))
        batches.push_back(graph.nodes[input].name);
      detail::add_onnx_value(writer, 12, output.name, graph[output.value], batches);
    }
  }
  const auto length =
      layout.length() + static_cast<std::int64_t>(onnx.nodes().size() + values.size());

  // ModelProto{1 ir_version, 2 producer, 3 its version, 7 graph, 8 opset, 14 metadata}.
  auto metadata = options.metadata;
  if (options.reference) {
    metadata["contrapunto.reference_inputs"] = detail::kReferenceInputs;
    for (const auto& [name, result] : run_graph(graph, reference_inputs(graph)))
      metadata["contrapunto.reference." + name] = detail::numbers_text(result);
  }
  std::string start, end;
  {
    protozero::pbf_writer writer(start);
    writer.add_int64(1, version->second);
    writer.add_string(2, "contrapunto");
    writer.add_string(3, std::string(kVersion));
    start += detail::length_prefix(7, length);
    protozero::pbf_writer last(end);
    {
      protozero::pbf_writer opset(last, 8);
      opset.add_string(1, "");
      opset.add_int64(2, options.opset);
    }
    for (const auto& [key, value] : metadata) {
      protozero::pbf_writer entry(last, 14);
      entry.add_string(1, key);
      entry.add_string(2, value);
    }
  }

  if (layout.has_data()) {
    AtomicFile data(data_path);
    layout.write_data(data);
    data.commit();
  }
  AtomicFile file(path);
  file.write(start);
  file.write(onnx.nodes());
  layout.write_tensors(file);
  file.write(values);
  file.write(end);
  file.commit();
}

}  // namespace contrapunto
