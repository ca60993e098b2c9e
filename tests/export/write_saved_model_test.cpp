// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#ifdef CONTRAPUNTO_HAS_EXPORT
#include "contrapunto/export/write_saved_model.hpp"

#include <map>
#include <protozero/pbf_reader.hpp>

#include "contrapunto/export/model_graph.hpp"
#include "contrapunto/io/read_file.hpp"
#include "io/temporary_folder.hpp"
#include "nn/raises.hpp"
#include "support/catch.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;

namespace {

const char* const kIndex = "variables/variables.index";
const char* const kData = "variables/variables.data-00000-of-00001";

std::string hexadecimal(const std::string& bytes) {
  std::string text;
  for (const char c : bytes)
    for (const auto digit : {static_cast<unsigned char>(c) >> 4, c & 0xF})
      text += "0123456789abcdef"[digit];
  return text;
}

/// A node of a written GraphDef.
struct WrittenNode {
  std::string op;
  std::vector<std::string> inputs;
};

protozero::pbf_reader meta_graph_of(const std::string& saved_model) {
  protozero::pbf_reader saved(saved_model);
  REQUIRE(saved.next(2));
  return saved.get_message();
}

std::map<std::string, WrittenNode> nodes_of(const std::filesystem::path& folder) {
  const auto bytes = read_file(folder / "saved_model.pb");
  auto meta_graph = meta_graph_of(bytes);
  REQUIRE(meta_graph.next(2));
  auto graph = meta_graph.get_message();
  std::map<std::string, WrittenNode> nodes;
  while (graph.next(1)) {
    auto message = graph.get_message();
    std::string name;
    WrittenNode node;
    while (message.next()) {
      if (message.tag() == 1)
        name = message.get_string();
      else if (message.tag() == 2)
        node.op = message.get_string();
      else if (message.tag() == 3)
        node.inputs.push_back(message.get_string());
      else
        message.skip();
    }
    nodes.emplace(name, node);
  }
  return nodes;
}

/// Each signature with its inputs and outputs, as "images texts -> similarity".
std::map<std::string, std::string> signatures_of(const std::filesystem::path& folder) {
  const auto bytes = read_file(folder / "saved_model.pb");
  auto meta_graph = meta_graph_of(bytes);
  std::map<std::string, std::string> signatures;
  while (meta_graph.next(5)) {
    auto entry = meta_graph.get_message();
    REQUIRE(entry.next(1));
    const auto name = entry.get_string();
    REQUIRE(entry.next(2));
    auto definition = entry.get_message();
    std::string inputs, outputs;
    while (definition.next()) {
      if (definition.tag() == 3) {
        CHECK(definition.get_string() == "tensorflow/serving/predict");
        continue;
      }
      auto& names = definition.tag() == 1 ? inputs : outputs;
      auto tensor = definition.get_message();
      REQUIRE(tensor.next(1));
      names += tensor.get_string() + " ";
    }
    outputs.pop_back();
    signatures[name] = inputs + "-> " + outputs;
  }
  return signatures;
}

/// Numbers of the data file, from `offset` bytes.
at::Tensor stored(const std::filesystem::path& folder, std::size_t offset, at::IntArrayRef shape,
                  at::ScalarType type) {
  const auto bytes = read_file(folder / kData);
  auto tensor = at::empty(shape, type);
  REQUIRE(bytes.size() >= offset + tensor.nbytes());
  std::memcpy(tensor.mutable_data_ptr(), bytes.data() + offset, tensor.nbytes());
  return tensor;
}

Graph small_graph() {
  GraphBuilder g;
  const auto x = g.input("x", at::kFloat, {-1, 4});
  g.output("y", g.matmul(x, g.weight("w", at::arange(8, at::kFloat).view({4, 2}))));
  return g.graph();
}

}  // namespace

TEST_CASE("The CRC-32C of known bytes", "[export][cpu]") {
  using contrapunto::detail::crc32c;
  CHECK(crc32c("") == 0);
  CHECK(crc32c("123456789") == 0xE3069283U);
  // RFC 3720, appendix B.4.
  CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AAU);
  CHECK(crc32c(std::string(32, '\xFF')) == 0x62A8AB43U);
  const std::string text = "CRCs of parts follow each other, however long the parts are.";
  for (std::size_t i = 0; i <= text.size(); ++i)
    CHECK(crc32c(text.substr(i), crc32c(text.substr(0, i))) == crc32c(text));
}

TEST_CASE("An index of variables is that of TensorFlow byte by byte", "[export][cpu]") {
  const test::TemporaryFolder folder;
  contrapunto::detail::TensorBundle bundle(folder / "v");
  bundle.add("vit/a", at::tensor({1.0F, 2.0F}));
  bundle.add("vit/b", at::arange(6, at::kFloat).view({2, 3}));
  bundle.finish();
  CHECK(folder.names() == std::vector<std::string>{"v.data-00000-of-00001", "v.index"});
  // tf.raw_ops.SaveV2 of TensorFlow 2.21 with the same tensors.
  CHECK(
      hexadecimal(read_file(folder / "v.index")) ==
      "00000608011a02080100050f7669742f610801120412020802280835593ce5350401156208011208120208021202"
      "08032008281835c0db3d17000000000100000000c67b9a3d000000000100000000c0f2a1b0000102770041000000"
      "000100000000b2cd5f8c4608530e" +
          std::string(72, '0') + "57fb808b247547db");
}

TEST_CASE("A SavedModel appears as a whole, with its weights beside or inside", "[export][cpu]") {
  const test::TemporaryFolder folder;
  const auto out = folder / "model";
  const auto graph = small_graph();
  write_saved_model(out, graph);
  CHECK(std::filesystem::exists(out / kIndex));
  CHECK(at::equal(stored(out, 0, {4, 2}, at::kFloat), at::arange(8, at::kFloat).view({4, 2})));
  CHECK(nodes_of(out).at("w").op == "VarHandleOp");
  const auto first = read_file(out / "saved_model.pb");
  write_saved_model(out, graph);
  CHECK(read_file(out / "saved_model.pb") == first);

  write_saved_model(out, graph, {.constants = true});
  CHECK_FALSE(std::filesystem::exists(out / "variables"));
  const auto nodes = nodes_of(out);
  CHECK(nodes.at("w").op == "Const");
  CHECK_FALSE(nodes.contains("save/restore_all"));
  CHECK(nodes.at("y").inputs == std::vector<std::string>{"matmul"});
  CHECK(folder.names() == std::vector<std::string>{"model"});
}

TEST_CASE("Signatures of a SavedModel have the inputs that they need", "[export][cpu]") {
  const at::NoGradGuard no_grad;
  const test::TemporaryFolder folder;
  const auto out = folder / "model";
  const auto config = test::small_config("ViT-B-32");
  const auto model = make_dual_encoder(config);
  using Signatures = std::map<std::string, std::string>;
  const auto pair = model_graph(*model, config, ModelGraphPart::kBoth);
  write_saved_model(out, pair);
  CHECK(signatures_of(out) == Signatures{{"serving_default", "images -> image_features"},
                                         {"encode_text", "texts -> text_features"},
                                         {"similarity", "images texts -> similarity"}});
  write_saved_model(out, model_graph(*model, config, ModelGraphPart::kText));
  CHECK(signatures_of(out) == Signatures{{"serving_default", "texts -> text_features"},
                                         {"encode_text", "texts -> text_features"}});
  write_saved_model(out, pair, {.signatures = {{"features", {"text_features", "image_features"}}}});
  CHECK(signatures_of(out) ==
        Signatures{{"features", "images texts -> text_features image_features"}});
}

TEST_CASE("Feature maps are transposed only where they begin and end", "[export][cpu]") {
  const at::NoGradGuard no_grad;
  const test::TemporaryFolder folder;
  const auto config = test::small_config("RN50");
  const auto model = make_dual_encoder(config);
  for (const bool raw : {false, true}) {
    write_saved_model(folder / "model",
                      model_graph(*model, config, ModelGraphPart::kImage, {.raw_images = raw}));
    int convolutions = 0;
    std::vector<std::string> transposes;
    for (const auto& [name, node] : nodes_of(folder / "model")) {
      convolutions += node.op == "Conv2D" ? 1 : 0;
      // Those within the attention of the pool are no feature maps.
      if (node.op == "Transpose" && name.find("attnpool") == std::string::npos)
        transposes.push_back(name);
    }
    CHECK(convolutions > 10);
    // The other one is where the last map becomes tokens. Raw images have the channels last.
    REQUIRE_FALSE(transposes.empty());
    CHECK(transposes.back().starts_with("visual.block"));
    transposes.pop_back();
    CHECK(transposes == (raw ? std::vector<std::string>{"preprocess.mean/order_0_2_3_1",
                                                        "preprocess.std/order_0_2_3_1"}
                             : std::vector<std::string>{"images/order_0_2_3_1"}));
  }
}

TEST_CASE("Kernels are stored in TensorFlow's order", "[export][cpu]") {
  torch::manual_seed(5);
  const test::TemporaryFolder folder;
  const auto kernel = at::randn({6, 4, 3, 3}), local = at::randn({6, 1, 5, 5});
  for (const auto type : {at::kFloat, at::kHalf, at::kBFloat16}) {
    GraphBuilder g(type);
    const auto x = g.input("x", at::kFloat, {-1, 4, 8, 8});
    const auto y = g.convolution(g.convolution(x, kernel, {}, 1, 1), local, {}, 1, 2, 6);
    // The weights stand one after the other.
    g.output("y", y);
    write_saved_model(folder / "model", g.graph());
    CHECK(at::equal(stored(folder / "model", 0, {3, 3, 4, 6}, type),
                    kernel.to(type).permute({2, 3, 1, 0})));
    const auto offset = static_cast<std::size_t>(kernel.numel()) * c10::elementSize(type);
    CHECK(at::equal(stored(folder / "model", offset, {5, 5, 6, 1}, type),
                    local.to(type).permute({2, 3, 0, 1})));
    const auto nodes = nodes_of(folder / "model");
    CHECK(nodes.at("convolution_1").op == "DepthwiseConv2dNative");
    CHECK(std::count_if(nodes.begin(), nodes.end(),
                        [](const auto& node) { return node.second.op == "Transpose"; }) == 2);
  }
}

TEST_CASE("SavedModels are refused for what TensorFlow would not read", "[export][cpu]") {
  const test::TemporaryFolder folder;
  const auto out = folder / "model";
  write_saved_model(out, small_graph());
  const auto before = read_file(out / "saved_model.pb");
  const auto refuses = [&](const Graph& graph, const SavedModelOptions& options,
                           std::initializer_list<const char*> words) {
    const bool raised = test::raises([&] { write_saved_model(out, graph, options); }, words);
    return raised && read_file(out / "saved_model.pb") == before &&
           folder.names() == std::vector<std::string>{"model"};
  };
  CHECK(refuses({}, {}, {"no outputs"}));
  CHECK(refuses(small_graph(), {.signatures = {{"serving_default", {"z"}}}},
                {"'serving_default'", "'z'"}));
  CHECK(refuses(small_graph(), {.signatures = {{"a", {"y"}}, {"a", {"y"}}}}, {"two", "'a'"}));
  const auto with = [](const std::string& name, const at::Tensor& tensor) {
    GraphBuilder g;
    g.output("y", g.relu(g.weight(name, tensor)));
    return g.graph();
  };
  CHECK(refuses(with("a weight", at::ones({2})), {}, {"'a weight'", "letters"}));
  CHECK(refuses(with("_weight", at::ones({2})), {}, {"'_weight'", "underscore"}));
  // Not even copied.
  CHECK(refuses(with("large", at::ones({1}).expand({1 << 29})), {.constants = true},
                {"2 GiB", "constants = false"}));
  auto twice = small_graph();
  twice.outputs.push_back(twice.outputs[0]);
  CHECK(refuses(twice, {.signatures = {{"a", {"y"}}}}, {"'y'", "twice"}));
  GraphBuilder g;
  const auto x = g.input("x", at::kFloat, {-1, 4, 8, 8});
  g.output("y", g.convolution(x, at::ones({4, 2, 3, 3}), {}, 1, 1, 2));
  CHECK(refuses(g.graph(), {}, {"'convolution'", "2 groups of 4 channels"}));
  CHECK(
      test::raises([&] { write_saved_model(folder / "none" / "model", small_graph()); }, {"none"}));
}
#endif
