// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
// Times one training step. Its peer is training_step_open_clip.py, and run_training_step.py starts
// both.
#include <sys/resource.h>
#include <torch/torch.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <contrapunto/contrapunto.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

namespace cp = contrapunto;

namespace {

struct Settings {
  std::string model = "ViT-B-32";
  std::string precision = "fp32";
  std::string device = "cpu";
  std::int64_t batch = 32;
  std::int64_t text_tokens = 77;  // of the longest text in the batch
  int steps = 5;
  int threads = 2;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  const auto started = std::chrono::steady_clock::now();
  Settings s;
  CLI::App app{"One training step, timed"};
  app.add_option("--model", s.model);
  app.add_option("--precision", s.precision);
  app.add_option("--device", s.device);
  app.add_option("--batch", s.batch);
  app.add_option("--text-tokens", s.text_tokens);
  app.add_option("--steps", s.steps);
  app.add_option("--threads", s.threads);
  CLI11_PARSE(app, argc, argv);

  at::set_num_threads(s.threads);
  torch::manual_seed(0);
  const torch::Device device(s.device);
  const cp::ModelConfig config = cp::model_config(s.model);
  const cp::PrecisionPolicy precision = cp::precision_policy(s.precision);
  cp::DualEncoder model = cp::make_dual_encoder(config);
  model->to(device);
  cp::apply_precision_(*model, precision);
  model->train();
  cp::AdamW optimizer(cp::decay_groups(*model, 0.2), cp::clip_adamw_options(config));
  const auto parameters = model->parameters();

  const auto size = config.image_size();
  const auto pixels = torch::randint(256, {s.batch, 3, size, size}, torch::kUInt8)
                          .contiguous(torch::MemoryFormat::ChannelsLast)
                          .to(device);
  auto texts = torch::randint(1, 49405, {s.batch, s.text_tokens}, torch::kLong);
  texts.select(1, 0).fill_(49406);
  texts.select(1, s.text_tokens - 1).fill_(49407);
  texts = texts.to(device);

  const auto synchronize = [&] {
    if (device.is_cuda()) torch::cuda::synchronize();
  };
  std::vector<double> times;
  double first_step = 0.0;
  at::Tensor loss;
  for (int step = 0; step < s.steps + 2; ++step) {
    synchronize();
    const auto begin = std::chrono::steady_clock::now();
    optimizer.zero_grad();
    const auto images = cp::normalize_images(pixels, config.image_mean, config.image_std,
                                             torch::kFloat32, torch::MemoryFormat::ChannelsLast);
    {
      const cp::AutocastGuard autocast(precision, device);
      loss = cp::InfoNce{}(model(images, texts));
    }
    loss.backward();
    cp::clip_grad_norm_(parameters, 1.0);
    optimizer.step(5e-4);
    model->clamp_logit_scale_();
    synchronize();
    times.push_back(seconds_since(begin));
    if (step == 0) first_step = seconds_since(started);
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  times.erase(times.begin(), times.begin() + 2);
  std::cout << nlohmann::json{{"step_seconds", times},
                              {"first_step_seconds", first_step},
                              {"loss", loss.item<double>()},
                              {"peak_megabytes", static_cast<double>(usage.ru_maxrss) / 1024},
                              {"version", std::string("contrapunto ") + std::string(cp::kVersion)}}
            << "\n";
}
