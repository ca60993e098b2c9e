// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/towers/image_tower_settings.hpp"

#include "nn/raises.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("Settings change the image tower of a model, and nothing unless they are given",
          "[towers][cpu]") {
  const auto config = model_config("ViT-S-16");
  const auto same = std::get<VisionTransformerOptions>(with_image_tower_settings(config, {}).image);
  CHECK(same.image_size == 224);
  CHECK(same.drop_path == 0.0);
  CHECK(same.attention.empty());
  const auto changed = with_image_tower_settings(
      config, {.image_size = 128, .drop_path = 0.1, .attention = "window4, global"});
  const auto& vit = std::get<VisionTransformerOptions>(changed.image);
  CHECK(vit.image_size == 128);
  CHECK(vit.drop_path == 0.1);
  CHECK(attention_plan_text(vit.attention) == "window4, global");
}

TEST_CASE("Settings of a ViT are refused for a ResNet", "[towers][cpu]") {
  const auto config = model_config("RN50");
  CHECK(with_image_tower_settings(config, {.image_size = 160}).image_size() == 160);
  CHECK(test::raises(
      [&] { static_cast<void>(with_image_tower_settings(config, {.drop_path = 0.1})); },
      {"'RN50' is not a vision transformer"}));
  CHECK(test::raises(
      [&] { static_cast<void>(with_image_tower_settings(config, {.attention = "linear"})); },
      {"'RN50' is not a vision transformer"}));
}
