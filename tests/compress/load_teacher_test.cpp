// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/compress/load_teacher.hpp"

#include <cstdint>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "contrapunto/compress/add_teacher_readings.hpp"
#include "contrapunto/data/data_loader.hpp"
#include "contrapunto/data/synthetic_shapes.hpp"
#include "contrapunto/io/safetensors.hpp"
#include "contrapunto/loss/affinity_loss.hpp"
#include "contrapunto/step/grad_cache.hpp"
#include "contrapunto/text/byte_tokenizer.hpp"
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
  const auto teacher =
      load_teacher(config, folder / "teacher.safetensors", teacher_inputs(config, student), 0.5,
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

TEST_CASE("A teacher shares those tensors of a batch that it would read in the same way",
          "[compress][cpu]") {
  const auto student = test::small_config("ViT-B-32");
  const auto inputs = [&](const ModelConfig& teacher, bool own_vocabulary = false) {
    const auto made = teacher_inputs(teacher, student, own_vocabulary);
    return std::pair(made.image, made.text);
  };
  auto other = student;
  other.image_mean = {0.1, 0.2, 0.3};
  other.resize_mode = ResizeMode::kSquash;  // A training image is a crop in any mode.
  other.embed_dim = 12;
  CHECK(inputs(other) == std::pair<std::string, std::string>("image", "text"));
  CHECK(inputs(other, true) == std::pair<std::string, std::string>("image", "teacher_text"));
  std::get<VisionTransformerOptions>(other.image).image_size *= 2;
  CHECK(inputs(other) == std::pair<std::string, std::string>("teacher_image", "text"));
  other = student;
  other.interpolation = Interpolation::kBilinear;
  other.text.context_length += 1;
  CHECK(inputs(other) == std::pair<std::string, std::string>("teacher_image", "teacher_text"));
  const auto siglip = test::small_config("ViT-B-16-SigLIP");
  CHECK(inputs(siglip).second == "teacher_text");  // The student's texts are not padded.
  CHECK(teacher_inputs(student, siglip).text == "text");
  CHECK(teacher_inputs(other, student, false, "second").image == "second_image");

  LoaderOptions loading;
  const Tokenizer tokenizer = ByteTokenizer({.context_length = 17});
  add_teacher_readings(loading, teacher_inputs(student, student), student, tokenizer);
  CHECK((loading.image_readings.empty() && loading.text_readings.empty()));
  add_teacher_readings(loading, teacher_inputs(other, student), other, tokenizer);
  REQUIRE((loading.image_readings.size() == 1 && loading.text_readings.size() == 1));
  CHECK(loading.image_readings[0].name == "teacher_image");
  CHECK(loading.image_readings[0].image_size == other.image_size());
  CHECK(loading.image_readings[0].interpolation == Interpolation::kBilinear);
  CHECK(loading.text_readings[0].tokenize("ab") == tokenizer.encode("ab"));
  CHECK(loading.text_readings[0].pad_to == 0);
  add_teacher_readings(loading, teacher_inputs(siglip, student, false, "siglip"), siglip,
                       tokenizer);
  REQUIRE(loading.text_readings.size() == 2);
  CHECK(loading.text_readings[1].name == "siglip_text");
  CHECK(loading.text_readings[1].pad_to == siglip.text.context_length);
}

TEST_CASE("Weights that do not belong to the teacher are refused", "[compress][cpu]") {
  const test::TemporaryFolder folder;
  const auto config = test::small_config("ViT-B-32");
  const auto path = folder / "teacher.safetensors";
  write_safetensors(path, open_clip_state(make_dual_encoder(config), config));
  const auto load = [&](const ModelConfig& teacher, const std::filesystem::path& weights) {
    return load_teacher(teacher, weights, TeacherInputs(), 1.0, precision_policy("fp32"),
                        torch::kCPU);
  };
  auto other = config;
  other.text.vocab_size += 1;  // The tokenizer has another vocabulary.
  CHECK_THROWS_WITH(load(other, path), Contains("have 100 tokens") && Contains("has 101") &&
                                           Contains("teacher-vocabulary"));
  other = config;
  other.text.width *= 2;
  CHECK_THROWS_WITH(load(other, path), Contains("do not belong to"));
  CHECK_THROWS_WITH(load(config, folder / "none.safetensors"), Contains("none.safetensors"));
}

TEST_CASE("The settings of a trainer say which teacher reads what", "[compress][cpu]") {
  const test::TemporaryFolder folder;
  TeacherSettings settings;
  SettingsTable table;
  add_teacher_settings(table, settings);
  CHECK_THROWS_WITH(table.find("distillation")->set({"1.5"}), Contains("from 0 to 1"));
  CHECK_THROWS_WITH(table.find("teacher-precision")->set({"tf32"}), Contains("pure_bf16"));
  auto student = test::small_config("ViT-B-32");
  student.text.vocab_size = ByteTokenizer({.context_length = 16}).vocab_size();
  const auto load = [&] {
    return load_teacher(settings, student, precision_policy("bf16"), torch::kCPU);
  };
  LoaderOptions loading;
  CHECK_FALSE(load().has_value());
  add_teacher_readings(loading, settings, student, "");
  CHECK((loading.image_readings.empty() && loading.text_readings.empty()));

  // A teacher whose images and context are larger.
  std::ofstream(folder / "large.json")
      << R"({"embed_dim": 8, "vision_cfg": {"image_size": 48, "layers": 1, "width": 64,
             "patch_size": 16}, "text_cfg": {"context_length": 20, "width": 64, "heads": 1,
             "layers": 1}})";
  auto config = find_model_config((folder / "large.json").string());
  config.text.vocab_size = student.text.vocab_size;
  auto original = make_dual_encoder(config);
  write_safetensors(folder / "large.safetensors", open_clip_state(original, config));
  table.find("teacher")->set({(folder / "large.safetensors").string()});
  table.find("teacher-model")->set({(folder / "large.json").string()});
  table.find("teacher-precision")->set({"pure_bf16"});
  at::globalContext().setAllowTF32CuBLAS(true);
  const auto teacher = load();
  CHECK(at::globalContext().allowTF32CuBLAS());  // The process keeps the precision of the run.
  at::globalContext().setAllowTF32CuBLAS(false);
  REQUIRE(teacher.has_value());
  CHECK(teacher->step.precision.name == "pure_bf16");
  CHECK(teacher->step.model.encoders[0].input == "teacher_image");
  CHECK(teacher->step.model.encoders[1].input == "teacher_text");
  const auto facts = teacher->facts();
  CHECK(facts.own_image_size == 48);
  CHECK(facts.own_text_context == 20);
  CHECK(facts.precision == "pure_bf16");
  CHECK(facts.bytes < 2.2 * static_cast<double>(facts.parameters));
  add_teacher_readings(loading, settings, student, "");
  REQUIRE((loading.image_readings.size() == 1 && loading.text_readings.size() == 1));
  CHECK(loading.image_readings[0].image_size == 48);
  CHECK(loading.text_readings[0].tokenize(std::string(99, 'x')).size() == 20);
  table.find("teacher-precision")->set({""});
  CHECK(load()->step.precision.name == "bf16");

  table.find("teacher")->set({(folder / "none.safetensors").string()});
  table.find("teacher-model")->set({"RN999"});
  CHECK_THROWS_WITH(load(), Contains("RN999"));
}

TEST_CASE("A teacher beside a student has the embeddings that its own loader would give it",
          "[compress][cpu]") {
  // It reads larger images with another interpolation, and padded texts of another length.
  const test::TemporaryFolder folder;
  torch::manual_seed(8);
  auto config = test::small_config("ViT-B-16-SigLIP"),
       student_config = test::small_config("ViT-B-32");
  std::get<VisionTransformerOptions>(config.image).image_size = 48;
  config.interpolation = Interpolation::kBilinear;
  config.text.context_length = 24;
  const Tokenizer tokenizer = ByteTokenizer({.context_length = 16});
  const Tokenizer their_tokenizer = ByteTokenizer({.context_length = 24});
  config.text.vocab_size = student_config.text.vocab_size = tokenizer.vocab_size;
  write_safetensors(folder / "teacher.safetensors",
                    open_clip_state(make_dual_encoder(config), config));
  const auto inputs = teacher_inputs(config, student_config);
  const auto teacher = load_teacher(config, folder / "teacher.safetensors", inputs, 1.0,
                                    precision_policy("fp32"), torch::kCPU);

  const auto source = std::make_shared<SyntheticShapes>(SyntheticShapesOptions{.samples = 24});
  ImageTransformOptions pixels{.image_size = 32,
                               .train = true,
                               .crop_scale = {0.3, 1.0},
                               .horizontal_flip = true,
                               .color_jitter = {0.4, 0.4, 0.4, 0.1},
                               .color_jitter_probability = 0.8};
  LoaderOptions loading{.batch_size = 12};
  DataLoader students_own(source, ImageTransform(pixels), tokenizer.encode, loading);
  add_teacher_readings(loading, inputs, config, their_tokenizer);
  DataLoader shared(source, ImageTransform(pixels), tokenizer.encode, loading);
  pixels.image_size = 48;
  pixels.interpolation = Interpolation::kBilinear;
  DataLoader its_own(source, ImageTransform(pixels), their_tokenizer.encode,
                     {.batch_size = 12, .pad_text_to = 24});

  auto student = make_dual_encoder(student_config);
  const auto student_step = pair_step_model(
      student, torch::kCPU, {.prepare_x = image_normalizer(student_config), .trim_y = true});
  std::vector<Embeddings> seen;
  GradCache step(with_teachers(student_step, {teacher.step}),
                 [&](const DistilledEmbeddings& e) -> LossTerms {
                   seen = {e.student, e.teachers.front()};
                   return e.student.x.sum();
                 },
                 {.chunk_size = 5});
  auto model = teacher.model;
  student->eval();
  for (auto* loader : {&students_own, &shared, &its_own}) loader->start_epoch(1);
  const auto equal = [](const at::Tensor& a, const at::Tensor& b) {
    return test::close(a, b, 10.0);  // Chunks of another size are summed in another order.
  };
  while (const auto batch = shared.next()) {
    static_cast<void>(step(*batch));
    const auto plain = students_own.next(), theirs = its_own.next();
    const torch::NoGradGuard no_grad;
    const auto images = image_normalizer(student_config)(plain->at("image"));
    const auto their_images = image_normalizer(config)(theirs->at("image"));
    CHECK(equal(seen[0].x, student->encode_image(images)));
    CHECK(equal(seen[0].y, student->encode_text(plain->at("text"))));
    CHECK(equal(seen[1].x, model->encode_image(their_images)));
    CHECK(equal(seen[1].y, model->encode_text(theirs->at("text"))));
  }
  CHECK(seen.size() == 2);
}

TEST_CASE("A student learns its teacher's similarities", "[compress][cpu]") {
  const test::TemporaryFolder folder;
  torch::manual_seed(6);
  const auto config = test::small_config("ViT-B-32");
  write_safetensors(folder / "teacher.safetensors",
                    open_clip_state(make_dual_encoder(config), config));
  const auto teacher = load_teacher(config, folder / "teacher.safetensors", TeacherInputs(), 1.0,
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
