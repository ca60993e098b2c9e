// SPDX-License-Identifier: CC0-1.0
// Writes the weights of a smaller CLIP model that inherits a part of a larger one: layers, heads
// and units. The result is a file that train_clip --weights starts from.
//
//   inherit_weights --weights ViT-B-32.pt --weights-model ViT-B-32 --model small.json
//
// With --units activation it passes samples of --data through the larger model and keeps what is
// most active. docs/guides/distillation.md explains the rules. Expect a line for each tower that
// says what came from where.
#include <CLI/CLI.hpp>
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

namespace {

// ==== Settings =================================================================================
struct Settings {
  std::string weights, weights_model, model, output = "inherited.safetensors";
  std::string layers = "tinyclip", units = "leading", data = "synthetic", vocabulary;
  std::int64_t samples = 256, batch_size = 32;
  std::uint64_t seed = 0;
};

cp::SettingsTable describe(Settings& s) {
  cp::SettingsTable t;
  t.section("Models");
  t.add("weights", s.weights, "OpenCLIP weights (.safetensors or .pt) of the larger model");
  t.add("weights-model", s.weights_model, "their model; empty: as their shapes say, with GELU");
  t.add("model", s.model, "the smaller model: a name, a .json file or weights");
  t.add("output", s.output, "file to write");
  t.section("What is inherited");
  t.add("layers", s.layers, "which layers").one_of({"tinyclip", "even"});
  t.add("units", s.units, "which units").one_of({"leading", "magnitude", "activation"});
  t.section("Samples for --units activation");
  t.add("data", s.data, "shards, *.csv, *.tsv, class folders, or 'synthetic'");
  t.add("vocabulary", s.vocabulary, "CLIP's bpe_simple_vocab_16e6.txt.gz; empty: bytes are tokens");
  t.add("samples", s.samples, "pairs to pass through the model").check(cp::at_least(1));
  t.add("batch-size", s.batch_size, "pairs in one pass").check(cp::at_least(1));
  t.add("seed", s.seed, "seed of what is not inherited, and of the choice of samples");
  return t;
}

// ==== Activations ==============================================================================
/// Mean activations of the larger model on `samples` pairs of `data`.
cp::MeasuredImportance measure(const Settings& s, const cp::ModelConfig& config,
                               const cp::TensorMap& weights) {
  const cp::Tokenizer tokenizer = cp::make_tokenizer(s.vocabulary, config.text.context_length);
  TORCH_CHECK(tokenizer.vocab_size == config.text.vocab_size, "the tokenizer has ",
              tokenizer.vocab_size, " tokens, but ", config.name, " has ", config.text.vocab_size,
              "; give --vocabulary");
  const bool trims = !config.text.reads_padding();
  cp::DataLoader loader(
      cp::open_data_source(s.data, {.synthetic = {.samples = s.samples, .seed = s.seed}}),
      cp::ImageTransform({.image_size = config.image_size(),
                          .interpolation = config.interpolation,
                          .resize_mode = config.resize_mode}),
      tokenizer.encode,
      {.batch_size = std::min(s.batch_size, s.samples),
       .seed = s.seed,
       .pad_text_to = trims ? 0 : config.text.context_length});
  // snippet: measure_importance
  return cp::measure_importance(config, weights, [&](cp::DualEncoder& model) {
    loader.start_epoch(0);
    for (std::int64_t seen = 0; seen < s.samples;) {
      const auto batch = loader.next();
      TORCH_CHECK(batch, "data has only ", seen, " pairs; lower --samples");
      const auto& pixels = batch->at("image");
      static_cast<void>(model->forward(
          cp::normalize_images(pixels, config.image_mean, config.image_std), batch->at("text")));
      seen += batch->size();
    }
  });
  // snippet end
}

void inherit(const Settings& s) {
  TORCH_CHECK(!s.weights.empty() && !s.model.empty(), "--weights and --model are needed");
  // ==== Models =================================================================================
  auto from = cp::find_model_config(s.weights_model.empty() ? s.weights : s.weights_model);
  auto to = cp::find_model_config(s.model);
  const auto weights = cp::read_weights(s.weights);
  for (const auto& [name, tensor] : weights)  // The vocabulary is that of the weights.
    if (name.ends_with("token_embedding.weight"))
      from.text.vocab_size = to.text.vocab_size = tensor.size(0);
  torch::manual_seed(s.seed);
  cp::DualEncoder model = cp::make_dual_encoder(to);

  // ==== Inheritance ============================================================================
  cp::InheritOptions options;
  if (s.layers == "even") options.layers = cp::LayerRule::kEven;
  options.units = cp::unit_rule(s.units);
  if (s.units == "activation") {
    auto measured = measure(s, from, weights);
    options.image_importance = std::move(measured.image);
    options.text_importance = std::move(measured.text);
  }
  for (const auto& line : cp::inherit_weights(model, to, weights, from, options))
    std::cout << "inherited " << line << "\n";
  cp::write_safetensors(s.output, cp::open_clip_state(model, to));
  std::cout << "wrote " << s.output << ", " << cp::parameter_count(*model) << " parameters\n";
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  cp::SettingsTable settings = describe(s);
  CLI::App app{"Writes weights of a smaller CLIP model that inherits a part of a larger one."};
  cp::add_to_command_line(app, settings);
  CLI11_PARSE(app, argc, argv);
  try {
    inherit(s);
  } catch (const std::exception& error) {
    std::cerr << "inherit_weights: " << cp::error_text(error) << "\n";
    return 1;
  }
}
