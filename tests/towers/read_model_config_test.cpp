// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/towers/read_model_config.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

struct ConfigFile {
  explicit ConfigFile(const std::string& json)
      : path(std::filesystem::temp_directory_path() /
             ("config-" + std::to_string(::getpid()) + ".json")) {
    std::ofstream(path) << json;
  }
  ~ConfigFile() { std::filesystem::remove(path); }
  std::filesystem::path path;
};

}  // namespace

TEST_CASE("OpenCLIP's file of ViT-B-32 gives the named configuration", "[towers][cpu]") {
  const ConfigFile file(R"({"embed_dim": 512,
    "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12}})");
  const auto read = read_model_config(file.path);
  const auto named = model_config("ViT-B-32");
  const auto& image = std::get<VisionTransformerOptions>(read.image);
  const auto& expected = std::get<VisionTransformerOptions>(named.image);
  REQUIRE(image.width == expected.width);
  REQUIRE(image.heads == expected.heads);
  REQUIRE(image.layers == expected.layers);
  REQUIRE(image.patch_size == expected.patch_size);
  REQUIRE(image.output_dim == 512);
  REQUIRE(read.text.width == named.text.width);
  REQUIRE(read.name == file.path.stem().string());
}

TEST_CASE("A list of layers makes a ResNet", "[towers][cpu]") {
  const ConfigFile file(R"({"embed_dim": 128, "quick_gelu": true,
    "vision_cfg": {"image_size": 64, "layers": [1, 2, 1, 1], "width": 32},
    "text_cfg": {"context_length": 16, "width": 64, "heads": 2, "layers": 2}})");
  const auto config = read_model_config(file.path);
  const auto& image = std::get<ModifiedResNetOptions>(config.image);
  REQUIRE(image.layers == std::array<std::int64_t, 4>{1, 2, 1, 1});
  REQUIRE(image.heads == 16);
  REQUIRE(config.image_size() == 64);
  REQUIRE(config.text.activation == Activation::kQuickGelu);
}

TEST_CASE("A file can list the heads and hidden widths of each layer", "[towers][cpu]") {
  const ConfigFile file(R"({"embed_dim": 24,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 37, "layers": 3, "head_width": 16,
                   "layer_heads": [2, 0, 1], "layer_hidden": [10, 20, 0]},
    "text_cfg": {"context_length": 16, "width": 29, "heads": 2, "layers": 2, "head_width": 8,
                 "layer_heads": [3, 1], "layer_hidden": [5, 7]}})");
  const auto config = read_model_config(file.path);
  const auto& image = std::get<VisionTransformerOptions>(config.image);
  CHECK(image.head_width == 16);
  CHECK(image.layer_heads == std::vector<std::int64_t>{2, 0, 1});
  CHECK(image.layer_hidden == std::vector<std::int64_t>{10, 20, 0});
  CHECK(config.text.head_width == 8);
  CHECK(config.text.layer_heads == std::vector<std::int64_t>{3, 1});
  CHECK(config.text.layer_hidden == std::vector<std::int64_t>{5, 7});
  CHECK_THROWS_WITH(
      read_model_config(ConfigFile(R"({"vision_cfg": {"layer_heads": 3}, "text_cfg": {}})").path),
      Contains("'layer_heads' is 3"));
}

TEST_CASE("A fault in a configuration file is named with file and key", "[towers][cpu]") {
  REQUIRE_THROWS_WITH(read_model_config("/no/such.json"), Contains("/no/such.json"));
  REQUIRE_THROWS_WITH(read_model_config(ConfigFile("{").path), Contains("not valid JSON"));
  REQUIRE_THROWS_WITH(read_model_config(ConfigFile(R"({"text_cfg": {}})").path),
                      Contains("'vision_cfg' is missing"));
  REQUIRE_THROWS_WITH(
      read_model_config(ConfigFile(R"({"vision_cfg": {"with": 3}, "text_cfg": {}})").path),
      Contains("vision_cfg") && Contains("'with'"));
  REQUIRE_THROWS_WITH(
      read_model_config(ConfigFile(R"({"vision_cfg": {"width": "wide"}, "text_cfg": {}})").path),
      Contains("'width'") && Contains("\"wide\""));
}

TEST_CASE("OpenCLIP's file with preprocessing gives means, resize mode and interpolation",
          "[towers][cpu]") {
  const auto file = [](const std::string& preprocess) {
    return R"({"model_cfg": {"embed_dim": 64, "vision_cfg": {"layers": 1, "width": 64},
               "text_cfg": {"width": 64, "heads": 1, "layers": 1}}, "preprocess_cfg": )" +
           preprocess + "}";
  };
  const ConfigFile good(file(R"({"mean": [0.5, 0.4, 0.3], "std": [0.1, 0.2, 0.3],
                                 "interpolation": "bilinear", "resize_mode": "longest"})"));
  const auto config = read_model_config(good.path);
  CHECK(config.embed_dim == 64);
  CHECK(config.image_mean == std::array<double, 3>{0.5, 0.4, 0.3});
  CHECK(config.image_std == std::array<double, 3>{0.1, 0.2, 0.3});
  CHECK(config.interpolation == Interpolation::kBilinear);
  CHECK(config.resize_mode == ResizeMode::kLongest);

  const auto mistake = [&](const std::string& preprocess, const std::string& message) {
    const ConfigFile bad(file(preprocess));
    CHECK_THROWS_WITH(read_model_config(bad.path),
                      Contains(bad.path.string()) && Contains(message));
  };
  mistake(R"({"resize_mode": "crop"})",
          "'resize_mode' is \"crop\"; it must be one of: shortest, longest, squash");
  mistake(R"({"interpolation": "random"})", "must be one of: bicubic, bilinear");
  mistake(R"({"interpolation": 3})", "'interpolation' is 3");
  mistake(R"({"sharpen": true})", "'sharpen' is not supported");
}
