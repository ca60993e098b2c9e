// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/towers/write_model_config.hpp"

#include <string>
#include <variant>

#include "contrapunto/io/atomic_file.hpp"
#include "contrapunto/io/read_file.hpp"
#include "contrapunto/towers/find_model_config.hpp"
#include "contrapunto/towers/make_dual_encoder.hpp"
#include "contrapunto/towers/open_clip_state.hpp"
#include "contrapunto/towers/read_model_config.hpp"
#include "io/temporary_folder.hpp"
#include "support/catch.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

/// The names and shapes of all tensors, a line each.
std::string shapes(const ModelConfig& config) {
  std::string text;
  for (const auto& item : make_dual_encoder(config, at::kMeta)->named_parameters())
    text += item.key() + " " + c10::str(item.value().sizes()) + "\n";
  return text;
}

}  // namespace

TEST_CASE("A model configuration that was written is read again", "[towers][cpu]") {
  const test::TemporaryFolder folder;
  std::vector<ModelConfig> configs{
      model_config("ViT-B-16-quickgelu"), model_config("TinyCLIP-ViT-8M-16-Text-3M"),
      model_config("RN50x4"), with_sigmoid_head(model_config("ViT-S-16"))};
  auto irregular = test::small_config("ViT-B-32");
  auto& vit = std::get<VisionTransformerOptions>(irregular.image);
  vit.width = 10;  // Less than a head has.
  vit.head_width = irregular.text.head_width = 12;
  vit.layer_heads = {2, 0, 1};
  vit.layer_hidden = {16, 8, 40};
  irregular.text.layer_heads = {1, 2, 1};
  irregular.text.layer_hidden = {8, 24, 16};
  irregular.image_mean = {0.1, 0.2, 0.3};
  irregular.resize_mode = ResizeMode::kLongest;
  irregular.interpolation = Interpolation::kBilinear;
  configs.push_back(irregular);
  for (const auto& config : configs) {
    CAPTURE(config.name);
    const auto path = folder / (config.name + ".json");
    write_model_config(path, config);
    const auto read = find_model_config(path.string());
    CHECK(read.name == config.name);
    CHECK(shapes(read) == shapes(config));
    CHECK(read.image_mean == config.image_mean);
    CHECK(read.image_std == config.image_std);
    CHECK(read.resize_mode == config.resize_mode);
    CHECK(read.interpolation == config.interpolation);
    CHECK(read.initial_logit_scale == config.initial_logit_scale);
    CHECK(read.initial_logit_bias == config.initial_logit_bias);
    CHECK(read.text.activation == config.text.activation);
    CHECK(read.text.heads_in(1) == config.text.heads_in(1));
    CHECK(read.text.numbers_per_head() == config.text.numbers_per_head());
    if (const auto* image = std::get_if<VisionTransformerOptions>(&read.image)) {
      const auto& original = std::get<VisionTransformerOptions>(config.image);
      CHECK(image->heads_in(0) == original.heads_in(0));
      CHECK(image->numbers_per_head() == original.numbers_per_head());
      CHECK(image->activation == original.activation);
    } else {
      CHECK(std::get<ModifiedResNetOptions>(read.image).heads ==
            std::get<ModifiedResNetOptions>(config.image).heads);
    }
  }
  // SigLIP's image tower has timm's name.
  const auto siglip = model_config("ViT-B-16-SigLIP");
  write_model_config(folder / "siglip.json", siglip);
  CHECK(read_file(folder / "siglip.json").find("vit_base_patch16_siglip_224") != std::string::npos);
  const auto read = read_model_config(folder / "siglip.json");
  const auto state = open_clip_state(make_dual_encoder(siglip, at::kMeta), siglip);
  const auto again = open_clip_state(make_dual_encoder(read, at::kMeta), read);
  CHECK(state.size() == again.size());
  for (const auto& [name, tensor] : state) CHECK(again.at(name).sizes() == tensor.sizes());
  CHECK((!read.text.causal && read.text.pool == TextPool::kLast));
  CHECK((read.text.layer_norm_eps == 1e-6 && read.initial_logit_bias == siglip.initial_logit_bias));
  CHECK((read.resize_mode == siglip.resize_mode && read.image_mean == siglip.image_mean));
  auto other = siglip;
  std::get<VisionTransformerOptions>(other.image).layers = 11;
  CHECK_THROWS_WITH(write_model_config(folder / "x.json", other),
                    Contains("no keys for all parts of 'ViT-B-16-SigLIP'"));
  const auto refused = [&](const char* vision, const char* words) {
    write_file_atomically(folder / "y.json", std::string("{\"vision_cfg\": ") + vision + "}");
    CHECK_THROWS_WITH(read_model_config(folder / "y.json"), Contains(words));
  };
  refused(R"({"timm_model_name": "resnet50"})", "'resnet50' of timm is not known");
  refused(R"({"timm_model_name": "vit_base_patch16_siglip_224", "timm_pool": "avg"})",
          "timm_pool (avg)");
}

TEST_CASE("Models of images alone are written and read again", "[towers][cpu]") {
  const test::TemporaryFolder folder;
  auto names = model_names();
  std::vector<ModelConfig> configs;
  for (const auto& name : names)
    if (model_config(name).image_only) configs.push_back(model_config(name));
  auto windows = model_config("vit_small_patch16_big_vision");
  auto& vit = std::get<VisionTransformerOptions>(windows.image);
  vit.attention = parse_attention_plan("window7, shifted7, focused, global");
  vit.block_order = BlockOrder::kParallel;
  vit.relative_bias = RelativeBiasKind::kNone;
  vit.qk_norm = true;
  vit.registers = 3;
  windows.name = "windows";
  configs.push_back(windows);
  REQUIRE(configs.size() > 10);
  for (const auto& config : configs) {
    CAPTURE(config.name);
    const auto path = folder / (config.name + ".json");
    write_model_config(path, config);
    const auto read = find_model_config(path.string());
    CHECK(read.image_only);
    CHECK(read.embed_dim == config.embed_dim);
    const auto tensors = [](const ModelConfig& c) {
      std::string text;
      for (const auto& item : make_image_tower(c, at::kMeta)->named_parameters())
        text += item.key() + " " + c10::str(item.value().sizes()) + "\n";
      return text;
    };
    CHECK(tensors(read) == tensors(config));
    // What shapes do not show is in the file: writing again gives the same text.
    write_model_config(folder / "again.json", read);
    CHECK(read_file(folder / "again.json") == read_file(path));
    const auto& ours = std::get<VisionTransformerOptions>(read.image);
    const auto& theirs = std::get<VisionTransformerOptions>(config.image);
    CHECK((ours.attention == theirs.attention));
    CHECK(ours.drop_path == theirs.drop_path);
    CHECK(ours.rotary.offset == theirs.rotary.offset);
    CHECK(ours.rotary.temperature == theirs.rotary.temperature);
    CHECK((ours.block_order == theirs.block_order));
  }
}
