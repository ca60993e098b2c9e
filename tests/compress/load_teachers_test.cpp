// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/compress/load_teachers.hpp"

#include <cstdint>
#include <fstream>
#include <string>
#include <variant>
#include <vector>

#include "compress/small_store.hpp"
#include "contrapunto/compress/add_teacher_readings.hpp"
#include "contrapunto/data/data_loader.hpp"
#include "contrapunto/io/safetensors.hpp"
#include "contrapunto/towers/open_clip_state.hpp"
#include "contrapunto/towers/write_model_config.hpp"
#include "io/temporary_folder.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

TEST_CASE("A trainer gets its teachers from weights, from stores, or from both",
          "[compress][cpu]") {
  const test::TemporaryFolder folder;
  const auto model_file = (folder / "small.json").string();
  std::ofstream(model_file)
      << R"({"embed_dim": 16, "vision_cfg": {"image_size": 32, "layers": 1, "width": 64,
             "patch_size": 16}, "text_cfg": {"context_length": 16, "width": 64, "heads": 2,
             "layers": 1}})";
  auto config = find_model_config(model_file);
  config.text.vocab_size = test::small_tokenizer().vocab_size;
  torch::manual_seed(2);
  auto model = make_dual_encoder(config);
  const auto weights = (folder / "teacher.safetensors").string();
  write_safetensors(weights, open_clip_state(model, config));
  freeze_teacher(*model);
  const Teacher teacher{.model = test::step_of(model, config)};
  const auto source = std::make_shared<test::ShardedShapes>(std::vector<std::int64_t>{0});
  const auto whole = (folder / "whole").string(), texts = (folder / "texts").string();
  test::build_small_store(whole, source, teacher, {.name = "whole", .replay = {3, 7}});
  test::build_small_store(texts, source, teacher, {.name = "texts", .replay = {}});

  const auto load = [&](const std::string& weights_file, std::vector<std::string> stores) {
    TeacherSettings settings{.teacher = weights_file, .teacher_model = model_file};
    settings.teacher_stores = std::move(stores);
    settings.distillation = 0.5;
    LoaderOptions loading{.batch_size = 4};
    add_teacher_readings(loading, settings, config, "");
    const DataLoader loader(source, test::random_views(), test::small_tokenizer().encode, loading);
    return load_teachers(settings, loader.teacher_stores(), config, precision_policy("fp32"),
                         torch::kCPU);
  };
  CHECK(load("", {}).empty());

  const auto online = load(weights, {});
  REQUIRE(online.steps.size() == 1);
  CHECK(online.facts[0].bytes > 0.0);
  CHECK(online.steps[0].model.encoders[0].input == "image");

  const auto stored = load("", {whole});
  REQUIRE(stored.steps.size() == 1);
  CHECK(stored.facts[0].name == "whole");
  CHECK(stored.facts[0].weight == 0.5);
  CHECK(stored.facts[0].stored_views == 3);
  CHECK(stored.facts[0].stored_texts);
  CHECK(stored.facts[0].bytes == 0.0);
  CHECK_FALSE(stored.facts[0].forward_gflops);
  CHECK(stored.steps[0].model.encoders[0].input == "teacher_image_features");
  CHECK(stored.steps[0].model.encoders[1].input == "teacher_text_features");

  const auto mixed = load(weights, {texts});
  REQUIRE(mixed.steps.size() == 1);
  CHECK(mixed.facts[0].stored_views == 0);
  CHECK(mixed.facts[0].stored_texts);
  CHECK(mixed.facts[0].bytes == online.facts[0].bytes);
  CHECK(mixed.facts[0].forward_gflops.value_or(0.0) == Approx(forward_gflops(config).x));
  CHECK(mixed.steps[0].model.encoders[0].input == "image");
  CHECK(mixed.steps[0].model.encoders[1].input == "teacher_text_features");

  const auto two = load("", {whole, whole});
  REQUIRE(two.steps.size() == 2);
  CHECK(two.facts[1].weight == 0.25);
  CHECK(two.steps[1].model.encoders[0].input == "teacher_image_features2");

  CHECK_THROWS_WITH(load(weights, {whole}), Contains("would compute nothing"));
  CHECK_THROWS_WITH(load("", {texts}), Contains("has no images"));
}

TEST_CASE("A teacher of another width has maps where the loss compares features",
          "[compress][cpu]") {
  const test::TemporaryFolder folder;
  torch::manual_seed(5);
  auto config = test::small_config("ViT-B-32");
  config.name = (folder / "teacher.json").string();
  auto narrow = config;
  narrow.embed_dim = narrow.text.output_dim = config.embed_dim / 2;
  std::visit([&](auto& image) { image.output_dim = narrow.embed_dim; }, narrow.image);
  write_safetensors(folder / "teacher.safetensors",
                    open_clip_state(make_dual_encoder(config), config));
  TeacherSettings settings;
  settings.teacher = (folder / "teacher.safetensors").string();
  settings.teacher_model = config.name;
  write_model_config(config.name, config);
  const auto load = [&](const ModelConfig& for_student) {
    return load_teachers(settings, {}, for_student, precision_policy("fp32"), torch::kCPU);
  };
  auto teachers = load(narrow);
  const auto student = make_dual_encoder(narrow);
  const auto parameters = student->parameters().size();
  const auto groups = [&] { return distillation_groups(*student, teachers, 0.1); };
  const auto step = [&] {
    return with_teachers(pair_step_model(student, torch::kCPU, {}), teachers);
  };
  CHECK_FALSE(teachers.maps);
  CHECK(groups().size() == 2);
  CHECK(step().parameters.size() == parameters);
  settings.interactive_distillation = 1.0;
  CHECK_FALSE(load(config).maps);  // The same width.
  teachers = load(narrow);
  REQUIRE(teachers.maps);
  CHECK(teachers.facts.front().feature_weight == 1.0);
  CHECK(teachers.maps->parameters()[0].sizes() ==
        at::IntArrayRef({config.embed_dim, narrow.embed_dim}));
  CHECK(step().parameters.size() == parameters + 2);
  REQUIRE(groups().size() == 3);
  CHECK(groups()[2].parameter_names ==
        std::vector<std::string>{"feature_maps.x_0", "feature_maps.y_0"});
  CHECK(groups()[2].weight_decay == 0.1);
}
