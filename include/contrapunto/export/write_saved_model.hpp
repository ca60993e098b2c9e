// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifndef CONTRAPUNTO_HAS_EXPORT
#error \
    "Contrapunto: writing a SavedModel needs the component `export` (protozero): use \
find_package(Contrapunto COMPONENTS export) and link contrapunto::export"
#endif

#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <protozero/pbf_writer.hpp>
#include <set>
#include <string>
#include <vector>

#include "contrapunto/export/detail/graph_def.hpp"
#include "contrapunto/export/detail/tensor_bundle.hpp"
#include "contrapunto/export/detail/tensorflow_nodes.hpp"
#include "contrapunto/export/graph.hpp"
#include "contrapunto/io/atomic_directory.hpp"
#include "contrapunto/io/atomic_file.hpp"

namespace contrapunto {

/// A function of a SavedModel. Its arguments are the inputs of the graph that its outputs depend
/// on.
struct SavedModelSignature {
  std::string name;
  std::vector<std::string> outputs;  ///< Names of outputs of the graph.
};

/// Returns `serving_default` with the first output, which servers call if no name is given, and one
/// signature for each further output with the name of that. `text_features` has `encode_text`.
[[nodiscard]] inline std::vector<SavedModelSignature> saved_model_signatures(const Graph& graph) {
  std::vector<SavedModelSignature> signatures;
  for (const auto& output : graph.outputs) {
    const bool text = output.name == "text_features";
    if (signatures.empty())
      signatures.push_back({"serving_default", {output.name}});
    else if (!text)
      signatures.push_back({output.name, {output.name}});
    if (text) signatures.push_back({"encode_text", {output.name}});
  }
  return signatures;
}

struct SavedModelOptions {
  /// The weights stand in saved_model.pb, which must be below 2 GiB, and there is no other file.
  bool constants = false;
  /// Empty: saved_model_signatures().
  std::vector<SavedModelSignature> signatures = {};
};

namespace detail {

/// For each node, whether `output` depends on it.
inline std::vector<bool> nodes_behind(const Graph& graph, GraphValue output) {
  std::vector<bool> needed(graph.nodes.size(), false);
  needed[output.node] = true;
  for (auto i = output.node + 1; i-- > 0;)
    if (needed[i])
      for (const auto value : graph.nodes[i].inputs) needed[value.node] = true;
  return needed;
}

/// Adds an input or output to a SignatureDef: field 1 or 2.
inline void add_tensor_info(protozero::pbf_writer& signature, protozero::pbf_tag_type field,
                            const std::string& name, const GraphNode& node) {
  protozero::pbf_writer entry(signature, field);
  entry.add_string(1, name);
  protozero::pbf_writer info(entry, 2);
  info.add_string(1, name + ":0");
  info.add_enum(2, tensorflow_type(node.dtype));
  info.add_message(3, shape_proto(node.shape));
}

/// Adds to a MetaGraphDef a signature whose tensors have the names of inputs and outputs.
inline void add_signature(protozero::pbf_writer& meta_graph, const Graph& graph,
                          const SavedModelSignature& signature) {
  protozero::pbf_writer entry(meta_graph, 5);
  entry.add_string(1, signature.name);
  protozero::pbf_writer definition(entry, 2);
  std::vector<bool> needed(graph.nodes.size(), false);
  for (const auto& name : signature.outputs) {
    const auto output = std::find_if(graph.outputs.begin(), graph.outputs.end(),
                                     [&](const auto& known) { return known.name == name; });
    TORCH_CHECK(output != graph.outputs.end(), "write_saved_model: the signature '", signature.name,
                "' names '", name, "', which is no output of the graph");
    add_tensor_info(definition, 2, name, graph[output->value]);
    const auto behind = nodes_behind(graph, output->value);
    for (std::size_t i = 0; i < needed.size(); ++i) needed[i] = needed[i] || behind[i];
  }
  for (std::size_t i = 0; i < needed.size(); ++i)
    if (needed[i] && graph.nodes[i].op == GraphOp::kInput)
      add_tensor_info(definition, 1, graph.nodes[i].name, graph.nodes[i]);
  definition.add_string(3, "tensorflow/serving/predict");
}

/// Adds the nodes that read all variables from files and write them.
inline void add_saver_nodes(GraphDef& nodes, const std::vector<TensorflowVariable>& variables) {
  std::vector<std::string> names, restored, written;
  std::vector<std::int32_t> types;
  for (const auto& variable : variables) {
    names.push_back(variable.node->name);
    types.push_back(tensorflow_type(variable.node->dtype));
  }
  const auto count = static_cast<std::int64_t>(names.size());
  const auto prefix = nodes.texts("save/Const", {}, {"model"});  // Readers pass another one.
  const auto name_list = nodes.texts("save/names", {count}, names);
  const auto slices = nodes.texts("save/slices", {count}, std::vector<std::string>(names.size()));
  const auto dtypes = types_attribute("dtypes", types);
  const auto restore =
      nodes.add("save/RestoreV2", "RestoreV2", {prefix, name_list, slices}, {dtypes});
  written = {prefix, name_list, slices};
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto& name = names[i];
    const auto assign = nodes.add(name + "/assign", "AssignVariableOp",
                                  {name, i == 0 ? restore : restore + ":" + std::to_string(i)},
                                  {type_attribute("dtype", variables[i].node->dtype)});
    restored.push_back("^" + assign);
    written.push_back(name + "/read");
  }
  nodes.add("save/restore_all", "NoOp", restored, {});
  const auto save = nodes.add("save/SaveV2", "SaveV2", written, {dtypes});
  nodes.add("save/Identity", "Identity", {prefix, "^" + save},
            {type_attribute("T", kTensorflowString)});
}

/// Adds the GraphDef of `graph` to a MetaGraphDef that writes to `buffer`. Returns its variables.
inline std::vector<TensorflowVariable> add_graph_def(std::string& buffer,
                                                     protozero::pbf_writer& meta_graph,
                                                     const Graph& graph, bool constants) {
  GraphDef out(buffer, meta_graph);
  TensorflowNodes nodes(out, graph, constants);
  for (const auto& output : graph.outputs)
    out.add(output.name, "Identity", {nodes.plain(output.value)},
            {type_attribute("T", graph[output.value].dtype)});
  if (!nodes.variables().empty()) add_saver_nodes(out, nodes.variables());
  return nodes.variables();
}

}  // namespace detail

/// Writes `graph` as a folder that TensorFlow, TensorFlow Serving and the converter of TensorFlow
/// Lite read: saved_model.pb and, for the weights, variables/. Its tag is `serve`, and tensors have
/// the names of inputs and outputs. TensorFlow Serving expects it at NAME/1. The folder appears as
/// a whole, and replaces an older one. The memory needed beyond the graph is that of its largest
/// weight or, with `constants`, of all. Raises for a group convolution that is not depth-wise, for
/// signatures that do not fit, for constants of 2 GiB, and if the folder cannot be written.
inline void write_saved_model(const std::filesystem::path& folder, const Graph& graph,
                              const SavedModelOptions& options = {}) {
  const at::NoGradGuard no_grad;
  TORCH_CHECK(!graph.outputs.empty(), "write_saved_model: the graph has no outputs");
  auto signatures = options.signatures;
  if (signatures.empty()) signatures = saved_model_signatures(graph);
  std::string model;
  AtomicDirectory files(folder);
  {
    protozero::pbf_writer saved(model);
    saved.add_int64(1, 1);  // Version of the format.
    protozero::pbf_writer meta_graph(saved, 2);
    protozero::pbf_writer(meta_graph, 1).add_string(4, "serve");
    std::set<std::string> names;
    for (const auto& signature : signatures) {
      TORCH_CHECK(names.insert(signature.name).second,
                  "write_saved_model: there are two signatures '", signature.name, "'");
      detail::add_signature(meta_graph, graph, signature);
    }
    const auto variables = detail::add_graph_def(model, meta_graph, graph, options.constants);
    if (!variables.empty()) {
      protozero::pbf_writer saver(meta_graph, 3);
      saver.add_string(1, "save/Const:0");
      saver.add_string(2, "save/Identity:0");
      saver.add_string(3, "save/restore_all");
      saver.add_enum(7, 2);  // Tensor bundles.
      std::filesystem::create_directory(files.path() / "variables");
      detail::TensorBundle bundle(files.path() / "variables" / "variables");
      for (const auto& variable : variables) bundle.add(variable.node->name, variable.tensor());
      bundle.finish();
    }
  }
  detail::check_protobuf_size(model.size());
  write_file_atomically(files.path() / "saved_model.pb", model);
  files.commit();
}

}  // namespace contrapunto
