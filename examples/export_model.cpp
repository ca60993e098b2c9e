// SPDX-License-Identifier: CC0-1.0
// Writes a trained model for other libraries: a folder for Hugging Face's transformers or for
// OpenCLIP, or the image tower alone for timm or for vision_transformer.
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
};

cp::SettingsTable describe(Settings& s) {
  cp::SettingsTable t;
  t.section("Model");
  t.add("weights", s.weights, "files or folders of weights of one model; several are averaged");
  t.add("model", s.model, "a name, a .json file, weights or a folder; empty: as the weights say");
  t.add("vocabulary", s.vocabulary, "CLIP's bpe_simple_vocab_16e6.txt.gz; empty: bytes are tokens");
  t.section("Output");
  t.add("format", s.format, "of the output").one_of({"hugging-face", "open-clip", "timm", "npz"});
  t.add("dtype", s.dtype, "of the weights").one_of({"float32", "float16", "bfloat16"});
  t.add("output", s.output, "folder; a file for timm (.safetensors) and npz (.npz)");
  return t;
}

void export_model(const Settings& s) {
  // ==== Weights ================================================================================
  TORCH_CHECK(!s.weights.empty(), "--weights is needed");
  auto config = cp::find_model_config(s.model.empty() ? s.weights.front() : s.model);
  std::vector<cp::TensorMap> states;
  for (const auto& path : s.weights) states.push_back(cp::read_weights(path));
  const auto weights = cp::average_states(states);
  for (const auto& [name, tensor] : weights)  // The vocabulary is that of the weights.
    if (name.ends_with("token_embedding.weight")) config.text.vocab_size = tensor.size(0);
  const auto dtype = s.dtype == "float16"    ? torch::kHalf
                     : s.dtype == "bfloat16" ? torch::kBFloat16
                                             : torch::kFloat;

  // ==== Output =================================================================================
  if (s.format == "timm" || s.format == "npz") {
    const cp::AnyTower tower = cp::make_image_tower(config);
    cp::load_image_weights(tower, nullptr, weights, config.name);
    tower->to(dtype);
    if (s.format == "timm")
      cp::write_safetensors(s.output, cp::timm_state(tower), {{"format", "pt"}});
    else
      cp::write_npz(s.output, cp::npz_state(tower));
  } else {
    cp::DualEncoder model = cp::make_dual_encoder(config);
    cp::load_open_clip_state(model, config, weights);
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
