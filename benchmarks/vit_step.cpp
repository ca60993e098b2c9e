// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
// Times one supervised training step of an image tower with a classifier, and the matrix products
// of its blocks alone. Its peer is vit_step_timm.py, and run_vit_step.py starts both.
#include <sys/resource.h>
#include <torch/torch.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <contrapunto/contrapunto.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "median_seconds.hpp"

namespace cp = contrapunto;

namespace {

struct Settings {
  std::string model = "deit3_small_patch16_224";
  std::string precision = "fp32";
  std::string attention;
  std::int64_t image_size = 0;
  std::int64_t batch = 16;
  double drop_path = 0.0;
  bool fused = true;
  int steps = 5;
  int threads = 2;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Seconds that the matrix products of all blocks take in one step. For each linear layer: forward,
/// and those of the gradients of the input and of the weight. For global attention: scores and
/// output, and the four of their gradients.
double products_seconds(const cp::VisionTransformerOptions& o, std::int64_t batch,
                        at::ScalarType dtype) {
  const auto tokens = batch * (o.prefix() + o.grid() * o.grid());
  double seconds = 0.0;
  const std::pair<std::int64_t, std::int64_t> shapes[] = {
      {o.width, 3 * o.width}, {o.width, o.width}, {o.width, o.hidden()}, {o.hidden(), o.width}};
  for (const auto& [in, out] : shapes) {
    const auto x = torch::randn({tokens, in}).to(dtype), dy = torch::randn({tokens, out}).to(dtype),
               weight = torch::randn({out, in}).to(dtype);
    seconds += median_seconds(torch::Device(torch::kCPU), 5, [&] {
      static_cast<void>(at::linear(x, weight));
      static_cast<void>(dy.mm(weight));
      static_cast<void>(dy.t().mm(x));
    });
  }
  const auto heads =
      torch::randn({batch * o.heads, tokens / batch, o.numbers_per_head()}).to(dtype);
  const auto scores = heads.bmm(heads.transpose(1, 2));
  seconds += median_seconds(torch::Device(torch::kCPU), 5, [&] {
    for (int i = 0; i < 2; ++i) static_cast<void>(heads.bmm(heads.transpose(1, 2)));
    for (int i = 0; i < 2; ++i) static_cast<void>(scores.bmm(heads));
    for (int i = 0; i < 2; ++i) static_cast<void>(scores.transpose(1, 2).bmm(heads));
  });
  return seconds * static_cast<double>(o.layers);
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  CLI::App app{"One supervised training step of a vision transformer, timed"};
  app.add_option("--model", s.model);
  app.add_option("--precision", s.precision);
  app.add_option("--attention", s.attention, "a plan such as window8,global; empty: the model's");
  app.add_option("--image-size", s.image_size);
  app.add_option("--batch", s.batch);
  app.add_option("--drop-path", s.drop_path);
  app.add_flag("!--no-fused", s.fused, "every operation of the blocks on its own");
  app.add_option("--steps", s.steps);
  app.add_option("--threads", s.threads);
  CLI11_PARSE(app, argc, argv);

  at::set_num_threads(s.threads);
  torch::manual_seed(0);
  auto config = cp::model_config(s.model);
  auto& options = std::get<cp::VisionTransformerOptions>(config.image);
  if (s.image_size > 0) options.image_size = s.image_size;
  if (!s.attention.empty()) options.attention = cp::parse_attention_plan(s.attention);
  options.drop_path = s.drop_path;
  const cp::PrecisionPolicy precision = cp::precision_policy(s.precision);
  cp::VisionTransformer tower(options);
  for (auto& block : tower->transformer->resblocks) block->fuse_passes(s.fused);
  torch::nn::Sequential model(tower, torch::nn::Linear(options.width, 1000));
  cp::apply_precision_(*model, precision);
  model->train();
  cp::AdamW optimizer(cp::decay_groups(*model, 0.05));
  const auto parameters = model->parameters();
  const auto images = torch::randn({s.batch, 3, options.image_size, options.image_size});
  const auto labels = torch::randint(1000, {s.batch}, torch::kLong);

  std::vector<double> times;
  at::Tensor loss;
  for (int step = 0; step < s.steps + 2; ++step) {
    const auto begin = std::chrono::steady_clock::now();
    optimizer.zero_grad();
    at::Tensor logits;
    {
      const cp::AutocastGuard autocast(precision, torch::Device(torch::kCPU));
      logits = model->forward(images);
    }
    loss = torch::nn::functional::cross_entropy(logits.to(torch::kFloat), labels);
    loss.backward();
    cp::clip_grad_norm_(parameters, 1.0);
    optimizer.step(1e-4);
    times.push_back(seconds_since(begin));
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  times.erase(times.begin(), times.begin() + 2);
  const auto dtype = s.precision == "bf16" ? torch::kBFloat16 : torch::kFloat32;
  std::cout << nlohmann::json{{"step_seconds", times},
                              {"products_seconds", products_seconds(options, s.batch, dtype)},
                              {"loss", loss.item<double>()},
                              {"peak_megabytes", static_cast<double>(usage.ru_maxrss) / 1024},
                              {"version", std::string("contrapunto ") + std::string(cp::kVersion)}}
            << "\n";
}
