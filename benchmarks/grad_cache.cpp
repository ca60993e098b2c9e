// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
// Times the gradients of one batch of text pairs, of the whole batch or by GradCache. Its peer is
// grad_cache_sentence_transformers.py. run_grad_cache.py starts both and makes the weights and the
// texts.
#include <torch/torch.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <contrapunto/contrapunto.hpp>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

namespace cp = contrapunto;

namespace {

struct Settings {
  std::string inputs;
  std::string strategy = "grad_cache";
  std::int64_t heads = 4;
  std::int64_t chunk = 64;
  double keep_bytes = 0.0;
  int steps = 3;
  int threads = 2;
};

struct Timing {
  std::vector<double> seconds;
  double loss = 0.0;
  double gradient_norm = 0.0;
  double tensor_bytes = 0.0;  // peak of the tensors of a step
};

template <class Step>
Timing time_steps(Step& step, const cp::Batch& batch, const std::vector<at::Tensor>& parameters,
                  int steps) {
  Timing timing;
  const auto run = [&] {
    for (const auto& parameter : parameters) parameter.mutable_grad().reset();
    return step(batch).total.template item<double>();
  };
  run();
  for (int i = 0; i < steps; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    timing.loss = run();
    timing.seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  double squares = 0.0;
  for (const auto& parameter : parameters)
    squares += parameter.grad().to(torch::kDouble).square().sum().item<double>();
  timing.gradient_norm = std::sqrt(squares);
  const cp::MemoryMeter meter;  // counting takes time, so it comes after the timing
  run();
  timing.tensor_bytes = static_cast<double>(meter.peak_bytes());
  return timing;
}

/// getrusage is not used: its maximum includes the memory of the runner before exec.
double peak_megabytes() {
  std::ifstream status("/proc/self/status");
  double kibibytes = 0.0;
  for (std::string name; status >> name;)
    if (name == "VmHWM:") status >> kibibytes;
  return kibibytes / 1024;
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  CLI::App app{"Gradients of one batch of text pairs, timed"};
  app.add_option("--inputs", s.inputs,
                 "safetensors: weights of a text transformer by OpenCLIP's names; tokens 'anchor' "
                 "(or its features, as they are) and 'positive'")
      ->required();
  app.add_option("--strategy", s.strategy, "direct or grad_cache")
      ->check(CLI::IsMember({"direct", "grad_cache"}));
  app.add_option("--heads", s.heads);
  app.add_option("--chunk", s.chunk);
  app.add_option("--keep-bytes", s.keep_bytes, "see GradCacheOptions");
  app.add_option("--steps", s.steps);
  app.add_option("--threads", s.threads);
  CLI11_PARSE(app, argc, argv);

  at::set_num_threads(s.threads);
  const cp::TensorMap inputs = cp::read_safetensors(s.inputs);
  const auto& words = inputs.at("model.token_embedding.weight");
  std::int64_t layers = 0;
  while (inputs.contains("model.transformer.resblocks." + std::to_string(layers) + ".ln_1.weight"))
    ++layers;
  cp::TextTransformer tower(
      cp::TextTransformerOptions{.context_length = inputs.at("model.positional_embedding").size(0),
                                 .vocab_size = words.size(0),
                                 .width = words.size(1),
                                 .heads = s.heads,
                                 .layers = layers,
                                 .output_dim = inputs.at("model.text_projection").size(1)});
  {
    const torch::NoGradGuard no_grad;
    for (auto& item : tower->named_parameters())
      item.value().copy_(inputs.at("model." + item.key()));
  }

  const auto encode = [tower](const at::Tensor& tokens) mutable -> cp::Features {
    return tower(tokens);
  };
  const auto unit = [](const cp::Features& features) {
    return torch::nn::functional::normalize(features.tensors.front());
  };
  const cp::Batch batch{{{"anchor", inputs.at("anchor")}, {"positive", inputs.at("positive")}}, {}};
  cp::StepModel<> model;
  if (batch.at("anchor").is_floating_point())
    model.encoders.push_back({"anchor", [](const at::Tensor& x) -> cp::Features { return x; }});
  else
    model.encoders.push_back({"anchor", encode, true});
  model.encoders.push_back({"positive", encode, true});
  model.head = [unit](const std::vector<cp::Features>& features, const cp::Batch&) {
    return cp::Embeddings{unit(features[0]), unit(features[1]), torch::tensor(20.0)};
  };
  model.parameters = tower->parameters();

  const cp::TiledInfoNce loss({.symmetric = false});
  Timing timing;
  if (s.strategy == "direct") {
    cp::FullBatch<cp::TiledInfoNce> step(model, loss);
    timing = time_steps(step, batch, model.parameters, s.steps);
  } else {
    cp::GradCache<cp::TiledInfoNce> step(model, loss,
                                         {.chunk_size = s.chunk, .keep_bytes = s.keep_bytes});
    timing = time_steps(step, batch, model.parameters, s.steps);
  }
  std::cout << nlohmann::json{{"step_seconds", timing.seconds},
                              {"loss", timing.loss},
                              {"gradient_norm", timing.gradient_norm},
                              {"tensor_megabytes", timing.tensor_bytes / (1 << 20)},
                              {"peak_megabytes", peak_megabytes()},
                              {"version", std::string("contrapunto ") + std::string(cp::kVersion)}}
            << "\n";
}
