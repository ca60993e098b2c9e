// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/compress/load_teacher.hpp"

#include <cstdint>
#include <variant>

#include "contrapunto/io/safetensors.hpp"
#include "contrapunto/loss/affinity_loss.hpp"
#include "contrapunto/step/grad_cache.hpp"
#include "contrapunto/towers/open_clip_state.hpp"
#include "io/temporary_folder.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

TEST_CASE("A teacher has the weights of its file and is frozen", "[compress][cpu]") {
  const test::TemporaryFolder folder;
  torch::manual_seed(4);
  auto config = test::small_config("ViT-B-32");
  config.image_mean = {0.5, 0.4, 0.3};
  auto original = make_dual_encoder(config);
  original->eval();
  write_safetensors(folder / "teacher.safetensors", open_clip_state(original, config));
  auto student = config;
  student.embed_dim = 12;  // The widths of student and teacher may differ.
  const auto teacher = load_teacher(config, folder / "teacher.safetensors", student, 0.5,
                                    precision_policy("fp32"), torch::kCPU);
  CHECK_FALSE(teacher.model->is_training());
  std::int64_t parameters = 0;
  for (const auto& parameter : teacher.model->parameters()) {
    CHECK_FALSE(parameter.requires_grad());
    parameters += parameter.numel();
  }
  const auto facts = teacher.facts();
  CHECK(facts.weight == 0.5);
  CHECK(facts.parameters == parameters);
  CHECK(facts.bytes == 4.0 * static_cast<double>(parameters));
  CHECK(facts.forward_gflops.value_or(0.0) > 0.0);
  // Bytes are normalized with the teacher's own mean and standard deviation.
  const auto bytes =
      torch::randint(256, {3, 3, config.image_size(), config.image_size()}, torch::kByte);
  const auto features = teacher.step.model.encoders[0].forward(bytes).tensors.front();
  const torch::NoGradGuard no_grad;
  CHECK(test::close(features, original->encode_image(image_normalizer(config)(bytes))));
}

TEST_CASE("A teacher that cannot read the student's batch is refused", "[compress][cpu]") {
  const test::TemporaryFolder folder;
  const auto config = test::small_config("ViT-B-32");
  const auto path = folder / "teacher.safetensors";
  write_safetensors(path, open_clip_state(make_dual_encoder(config), config));
  const auto load = [&](const ModelConfig& teacher, const ModelConfig& student) {
    return load_teacher(teacher, path, student, 1.0, precision_policy("fp32"), torch::kCPU);
  };
  auto other = config;
  std::get<VisionTransformerOptions>(other.image).image_size *= 2;
  CHECK_THROWS_WITH(load(other, config), Contains("the image size"));
  other = config;
  other.text.context_length += 1;
  CHECK_THROWS_WITH(load(other, config), Contains("the context length"));
  other = config;
  other.text.vocab_size += 1;  // The weights do not fit the student's vocabulary.
  CHECK_THROWS_WITH(load(config, other), Contains("token_embedding"));
  CHECK_THROWS_WITH(load_teacher(config, folder / "none.safetensors", config, 1.0,
                                 precision_policy("fp32"), torch::kCPU),
                    Contains("none.safetensors"));
}

TEST_CASE("The settings of a trainer name its teacher", "[compress][cpu]") {
  const test::TemporaryFolder folder;
  TeacherSettings settings;
  SettingsTable table;
  add_teacher_settings(table, settings);
  CHECK_THROWS_WITH(table.find("distillation")->set({"1.5"}), Contains("from 0 to 1"));
  const auto config = find_model_config("RN50");
  const auto load = [&] {
    return load_teacher(settings, config, precision_policy("fp32"), torch::kCPU);
  };
  CHECK_FALSE(load().has_value());
  table.find("teacher")->set({(folder / "none.safetensors").string()});
  table.find("teacher-model")->set({"RN999"});
  CHECK_THROWS_WITH(load(), Contains("RN999"));
}

TEST_CASE("A student learns its teacher's similarities", "[compress][cpu]") {
  const test::TemporaryFolder folder;
  torch::manual_seed(6);
  const auto config = test::small_config("ViT-B-32");
  write_safetensors(folder / "teacher.safetensors",
                    open_clip_state(make_dual_encoder(config), config));
  const auto teacher = load_teacher(config, folder / "teacher.safetensors", config, 1.0,
                                    precision_policy("fp32"), torch::kCPU);
  auto student = make_dual_encoder(config);
  load_open_clip_state(student, config, read_safetensors(folder / "teacher.safetensors"));
  student->eval();
  Batch batch;
  batch.tensors = {{"image", torch::randint(256, {6, 3, config.image_size(), config.image_size()},
                                            torch::kByte)},
                   {"text", test::texts({3, 15, 7, 5, 4, 9})}};
  GradCache step(
      with_teachers(pair_step_model(student, torch::kCPU,
                                    {.prepare_x = image_normalizer(config), .trim_y = true}),
                    {teacher.step}),
      AffinityLoss({.subtract_entropy = true}), {.chunk_size = 4});
  // A copy of the teacher has nothing to learn.
  CHECK(step(batch).total.item<double>() == Approx(0.0).margin(1e-5));
}
