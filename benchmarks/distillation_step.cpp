// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
// Times a step of a student alone, a forward of its teacher, a step of the student with the
// teacher, and one with stored embeddings of the teacher, in turn. Its peer is
// distillation_step_open_clip.py, and run_distillation_step.py starts both.
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
  std::string model = "ViT-S-32";
  std::string teacher = "ViT-B-32";
  std::string precision = "fp32";
  std::string device = "cpu";
  std::int64_t batch = 32;
  std::int64_t text_tokens = 77;  // of the longest text in the batch
  bool with_teacher_only = false;
  int steps = 5;
  int threads = 2;
};

cp::DualEncoder make_model(const cp::ModelConfig& config, const cp::PrecisionPolicy& precision,
                           torch::Device device) {
  auto model = cp::make_dual_encoder(config);
  model->to(device);
  cp::apply_precision_(*model, precision);
  return model;
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  CLI::App app{"One distilling step, timed"};
  app.add_option("--model", s.model);
  app.add_option("--teacher", s.teacher);
  app.add_option("--precision", s.precision);
  app.add_option("--device", s.device);
  app.add_option("--batch", s.batch);
  app.add_option("--text-tokens", s.text_tokens);
  app.add_flag("--with-teacher-only", s.with_teacher_only);
  app.add_option("--steps", s.steps);
  app.add_option("--threads", s.threads);
  CLI11_PARSE(app, argc, argv);

  at::set_num_threads(s.threads);
  torch::manual_seed(0);
  const torch::Device device(s.device);
  const auto config = cp::model_config(s.model), teacher_config = cp::model_config(s.teacher);
  const cp::PrecisionPolicy precision = cp::precision_policy(s.precision);
  auto model = make_model(config, precision, device);
  auto teacher_model = make_model(teacher_config, precision, device);
  cp::freeze_teacher(*teacher_model);
  cp::AdamW optimizer(cp::decay_groups(*model, 0.2), cp::clip_adamw_options(config));

  const auto size = config.image_size();
  cp::Batch batch;
  auto texts = torch::randint(1, 49405, {s.batch, s.text_tokens}, torch::kLong);
  texts.select(1, 0).fill_(49406);
  texts.select(1, s.text_tokens - 1).fill_(49407);
  batch.tensors = {{"image", torch::randint(256, {s.batch, 3, size, size}, torch::kUInt8)
                                 .contiguous(torch::MemoryFormat::ChannelsLast)},
                   {"text", texts}};

  const cp::StepContext context{.precision = precision, .device = device};
  const auto pair_model = [&](const cp::DualEncoder& of, const cp::ModelConfig& its) {
    return cp::pair_step_model(of, device,
                               {.prepare_x = cp::image_normalizer(its), .trim_y = true});
  };
  const cp::Teacher teacher{pair_model(teacher_model, teacher_config), precision, device};
  // OpenCLIP adds both losses.
  const cp::LossSum loss(cp::WeightedLoss{"contrastive", 1.0, cp::TiledInfoNce()},
                         cp::WeightedLoss{"affinity", 1.0, cp::AffinityLoss()});
  cp::FullBatch student_step(pair_model(model, config), cp::TiledInfoNce(), context);
  cp::FullBatch distilling_step(cp::with_teachers(pair_model(model, config), {teacher}), loss,
                                context);
  const auto forward = [&] {
    const torch::NoGradGuard no_grad;
    const cp::AutocastGuard autocast(precision, device);
    std::vector<at::Tensor> features;
    for (const auto& encoder : teacher.model.encoders)
      features.push_back(
          encoder.forward(batch.at(encoder.input)).tensors.front().to(torch::kFloat32));
    return features;
  };
  // Stored embeddings come with the batch, as a loader with a store delivers them.
  const auto stored_features = forward();
  batch.tensors["teacher_x"] = stored_features[0].cpu();
  batch.tensors["teacher_y"] = stored_features[1].cpu();
  const auto there = [device](const at::Tensor& rows) { return rows.to(device); };
  const auto stored = cp::callable_teacher(
      there, there, {.inputs = {.x_input = "teacher_x", .y_input = "teacher_y"}, .device = device});
  cp::FullBatch stored_step(cp::with_teachers(pair_model(model, config), {stored}), loss, context);

  const auto synchronize = [&] {
    if (device.is_cuda()) torch::cuda::synchronize();
  };
  const auto timed = [&](const auto& work) {
    synchronize();
    const auto begin = std::chrono::steady_clock::now();
    work();
    synchronize();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  const auto train = [&](auto& compute_gradients) {
    return [&] {
      optimizer.zero_grad();
      compute_gradients(batch);
      cp::clip_grad_norm_(optimizer.parameters(), 1.0);
      optimizer.step(5e-4);
      model->clamp_logit_scale_();
    };
  };
  std::vector<double> student_times, teacher_times, distilling_times, stored_times;
  for (int round = -1; round < s.steps; ++round) {  // The first round is not counted.
    const auto note = [&](std::vector<double>& times, double seconds) {
      if (round >= 0) times.push_back(seconds);
    };
    note(distilling_times, timed(train(distilling_step)));
    if (s.with_teacher_only) continue;
    note(student_times, timed(train(student_step)));
    note(teacher_times, timed([&] { static_cast<void>(forward()); }));
    note(stored_times, timed(train(stored_step)));
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::cout << nlohmann::json{{"step_seconds", distilling_times},
                              {"student_seconds", student_times},
                              {"teacher_seconds", teacher_times},
                              {"stored_seconds", stored_times},
                              {"peak_megabytes", static_cast<double>(usage.ru_maxrss) / 1024},
                              {"version", std::string("contrapunto ") + std::string(cp::kVersion)}}
            << "\n";
}
