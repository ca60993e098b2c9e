// SPDX-License-Identifier: CC0-1.0
// Writes a trained model for other libraries: a folder for Hugging Face's transformers or for
// OpenCLIP, the image tower alone for timm or for vision_transformer, or ONNX and SavedModel, which
// ONNX Runtime, TensorRT and TensorFlow run.
//
//   export_model --weights runs/train_clip --vocabulary bpe_simple_vocab_16e6.txt.gz
//   python -c 'import transformers; transformers.CLIPModel.from_pretrained("exported")'
//
// It reads all of these as well: --weights and --model may be such a folder. Several --weights of
// one model are averaged. docs/guides/export.md lists what each format can hold.
#include <CLI/CLI.hpp>
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

namespace {

// ==== Settings =================================================================================
struct Settings {
  std::vector<std::string> weights;
  std::string model, vocabulary, format = "hugging-face", dtype = "float32", output = "exported";
  bool raw_images = false, raw_features = false, joint = false, external_data = false;
  std::int64_t opset = 17;
};

cp::SettingsTable describe(Settings& s) {
  cp::SettingsTable t;
  t.section("Model");
  t.add("weights", s.weights, "files or folders of weights of one model; several are averaged");
  t.add("model", s.model, "a name, a .json file, weights or a folder; empty: as the weights say");
  t.add("vocabulary", s.vocabulary, "CLIP's bpe_simple_vocab_16e6.txt.gz; empty: bytes are tokens");
  t.section("Output");
  t.add("format", s.format, "of the output")
      .one_of({"hugging-face", "open-clip", "timm", "npz", "onnx", "saved-model"});
  t.add("dtype", s.dtype, "of the weights").one_of({"float32", "float16", "bfloat16"});
  t.add("output", s.output, "folder; a file for timm (.safetensors) and npz (.npz)");
  t.section("ONNX and SavedModel");
  t.add("joint", s.joint, "one graph with both towers and their similarities");
  t.add("raw-images", s.raw_images, "images are uint8 NHWC, and the graph normalizes pixels");
  t.add("raw-features", s.raw_features, "features do not have unit length");
  t.add("opset", s.opset, "17, 18, 20 (GELU is one operator) or 23 (attention, too)");
  t.add("external-data", s.external_data, "weights in a file beside the model, as above 2 GB");
  return t;
}

// ==== Graphs ===================================================================================
// `model` is empty for a tower of images alone.
void write_graphs(const Settings& s, const cp::ModelConfig& config, const cp::AnyTower& image,
                  const cp::DualEncoder& model, torch::Dtype dtype) {
  const cp::ModelGraphOptions options{
      .weight_dtype = dtype, .normalize = !s.raw_features, .raw_images = s.raw_images};
  const auto text = model.is_empty() ? cp::AnyTower() : model->text();
  const auto checked = [&](cp::Graph graph) {
    const double cosine = cp::graph_agreement(graph, config, image, text);
    TORCH_CHECK(cosine > 0.999, "the graph differs from the model (cosine ", cosine, ")");
    std::cout << "cosine of the graph and the model: " << cosine << "\n";
    return graph;
  };
  const auto graph_of = [&](cp::ModelGraphPart part) {
    return checked(model.is_empty() ? cp::image_graph(image, config, options)
                                    : cp::model_graph(*model, config, part, options));
  };
  const std::filesystem::path folder = s.output;
  if (s.format == "saved-model") {
    std::filesystem::create_directories(folder);
    // TensorFlow Serving looks for a number, the version.
    cp::write_saved_model(folder / "1", graph_of(cp::ModelGraphPart::kBoth));
    return;
  }
  const cp::OnnxOptions onnx{
      .opset = s.opset, .external_data = s.external_data, .metadata = cp::input_metadata(config)};
  TORCH_CHECK(!s.joint || !model.is_empty(), "--joint needs a model with a text tower");
  cp::AtomicDirectory files(folder);
  if (s.joint) {
    cp::write_onnx(files.path() / "model.onnx", graph_of(cp::ModelGraphPart::kBoth), onnx);
  } else {
    cp::write_onnx(files.path() / "image.onnx", graph_of(cp::ModelGraphPart::kImage), onnx);
    if (!model.is_empty())
      cp::write_onnx(files.path() / "text.onnx", graph_of(cp::ModelGraphPart::kText), onnx);
  }
  files.commit();
}

void export_model(const Settings& s) {
  // ==== Weights ================================================================================
  TORCH_CHECK(!s.weights.empty(), "--weights is needed");
  auto config = cp::find_model_config(s.model.empty() ? s.weights.front() : s.model);
  std::vector<cp::TensorMap> states;
  for (const auto& path : s.weights)
    states.push_back(cp::read_weights(path, cp::WeightsAccess::kMapped));
  auto weights = cp::average_states(states);
  states.clear();
  for (const auto& [name, tensor] : weights)  // The vocabulary is that of the weights.
    if (name.ends_with("token_embedding.weight")) config.text.vocab_size = tensor.size(0);
  const auto dtype = s.dtype == "float16"    ? torch::kHalf
                     : s.dtype == "bfloat16" ? torch::kBFloat16
                                             : torch::kFloat;

  // ==== Model ==================================================================================
  const bool for_tower = s.format == "timm" || s.format == "npz";
  cp::DualEncoder model = nullptr;
  cp::AnyTower image;
  const cp::SkipInitialization loads_all;
  if (for_tower || config.image_only) {
    image = cp::make_image_tower(config);
    cp::load_image_weights(image, nullptr, weights, config.name);
    image->eval();
  } else {
    model = cp::make_dual_encoder(config);
    cp::load_open_clip_state(model, config, weights);
    model->eval();
    image = model->visual();
  }

  weights.clear();  // The model has them now.

  // ==== Output =================================================================================
  if (s.format == "onnx" || s.format == "saved-model") {
    write_graphs(s, config, image, model, dtype);
  } else if (for_tower) {
    image->to(dtype);
    if (s.format == "timm")
      cp::write_safetensors(s.output, cp::timm_state(image), {{"format", "pt"}});
    else
      cp::write_npz(s.output, cp::npz_state(image));
  } else {
    TORCH_CHECK(!model.is_empty(), "'", config.name, "' is a model of images alone, which ",
                s.format, " cannot hold; choose timm, npz, onnx or saved-model");
    model->to(dtype);
    const auto state = cp::open_clip_state(model, config);
    if (s.format == "open-clip")
      cp::write_open_clip(s.output, state, config);
    else
      cp::write_hugging_face(s.output, state, config, s.vocabulary);
  }
  std::cout << "wrote " << config.name << " to " << s.output << "\n";
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  cp::SettingsTable settings = describe(s);
  CLI::App app{"Writes a trained model for other libraries."};
  cp::add_to_command_line(app, settings);
  CLI11_PARSE(app, argc, argv);
  try {
    export_model(s);
  } catch (const std::exception& error) {
    std::cerr << "export_model: " << cp::error_text(error) << "\n";
    return 1;
  }
}
