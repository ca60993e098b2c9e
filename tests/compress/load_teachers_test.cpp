// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/compress/load_teachers.hpp"

#include <fstream>

#include "compress/small_store.hpp"
#include "contrapunto/compress/add_teacher_readings.hpp"
#include "contrapunto/data/data_loader.hpp"
#include "contrapunto/io/safetensors.hpp"
#include "contrapunto/towers/open_clip_state.hpp"
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
