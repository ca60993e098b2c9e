// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/towers/hugging_face_config.hpp"
#include "contrapunto/towers/hugging_face_state.hpp"
#include "contrapunto/towers/open_clip_state.hpp"
#include "nn/raises.hpp"
#include "support/catch.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;

TEST_CASE("The weights of a CLIP model go to Hugging Face's names and back, bit by bit",
          "[towers][cpu]") {
  torch::manual_seed(61);
  const auto config = test::small_config("ViT-B-32");
  const auto model = make_dual_encoder(config);
  const auto state = open_clip_state(model, config);
  const auto theirs = hugging_face_state(state);
  CHECK(is_hugging_face_state(theirs));
  CHECK_FALSE(is_hugging_face_state(state));
  // Each joint projection has two tensors here and six there.
  CHECK(theirs.size() == state.size() + 4 * 6);
  const auto& joint = state.at("visual.transformer.resblocks.1.attn.in_proj_weight");
  const auto width = joint.size(1);
  CHECK(at::equal(theirs.at("vision_model.encoder.layers.1.self_attn.k_proj.weight"),
                  joint.narrow(0, width, width)));
  CHECK(at::equal(theirs.at("text_projection.weight"), state.at("text_projection").t()));
  const auto back = open_clip_from_hugging_face(theirs);
  REQUIRE(back.size() == state.size());
  for (const auto& [name, tensor] : state) {
    CAPTURE(name);
    CHECK(at::equal(back.at(name), tensor));
  }
  // A model reads them as they are, with the positions that older versions saved.
  auto file = theirs;
  file.emplace("text_model.embeddings.position_ids", torch::arange(16));
  auto other = make_dual_encoder(config);
  load_open_clip_state(other, config, file);
  for (const auto& [name, tensor] : open_clip_state(other, config))
    CHECK(at::equal(tensor, state.at(name)));
}

TEST_CASE("The weights and the configuration of a SigLIP model go to Hugging Face's and back",
          "[towers][cpu]") {
  torch::manual_seed(63);
  auto config = test::small_config("ViT-B-16-SigLIP");
  config.text.width = config.embed_dim;
  const auto model = make_dual_encoder(config);
  const auto state = open_clip_state(model, config);
  const auto theirs = hugging_face_state(state);
  CHECK(is_hugging_face_state(theirs));
  CHECK(theirs.at("vision_model.head.attention.in_proj_weight").size(0) == 3 * config.embed_dim);
  CHECK(theirs.at("logit_bias").dim() == 1);
  const auto back = open_clip_from_hugging_face(theirs);
  REQUIRE(back.size() == state.size());
  for (const auto& [name, tensor] : state) {
    CAPTURE(name);
    CHECK(at::equal(back.at(name), tensor));
  }
  auto incomplete = state;
  incomplete.erase("visual.trunk.attn_pool.kv.bias");
  CHECK(test::raises([&] { static_cast<void>(hugging_face_state(incomplete)); },
                     {"attn_pool.kv.bias"}));

  const auto json = hugging_face_config(config);
  const auto same = config_of_hugging_face(json, hugging_face_preprocessor(config), "SigLIP");
  auto other = make_dual_encoder(same);
  load_open_clip_state(other, same, theirs);
  for (const auto& [name, tensor] : open_clip_state(other, same))
    CHECK(at::equal(tensor, state.at(name)));
  CHECK((same.resize_mode == ResizeMode::kSquash && same.image_mean == config.image_mean));
  config.text.causal = true;
  CHECK(test::raises([&] { static_cast<void>(hugging_face_config(config)); },
                     {"SiglipModel", "text tower"}));
  auto tanh = json;
  tanh["text_config"]["hidden_act"] = "gelu_pytorch_tanh";
  CHECK(test::raises([&] { static_cast<void>(config_of_hugging_face(tanh, {}, "other")); },
                     {"gelu_pytorch_tanh", "OpenCLIP"}));
}

TEST_CASE("Weights that CLIPModel does not have, or not completely, are named", "[towers][cpu]") {
  const auto config = test::small_config("ViT-B-32");
  const auto state = hugging_face_state(open_clip_state(make_dual_encoder(config), config));
  auto incomplete = state;
  incomplete.erase("text_model.encoder.layers.0.self_attn.q_proj.bias");
  CHECK(test::raises([&] { static_cast<void>(open_clip_from_hugging_face(incomplete)); },
                     {"transformer.resblocks.0.attn.in_proj_bias", "q_proj"}));
  auto unknown = state;
  unknown.emplace("vision_model.encoder.layers.0.self_attn.relative", torch::zeros(1));
  CHECK(test::raises([&] { static_cast<void>(open_clip_from_hugging_face(unknown)); },
                     {"self_attn.relative"}));
  const auto resnet = test::small_config("RN50");
  const auto other = open_clip_state(make_dual_encoder(resnet), resnet);
  CHECK(test::raises([&] { static_cast<void>(hugging_face_state(other)); },
                     {"visual.", "no place in CLIPModel"}));
}

TEST_CASE("The configuration of a CLIP model goes to Hugging Face's and back", "[towers][cpu]") {
  for (const auto* name : {"ViT-B-32", "ViT-B-32-quickgelu", "ViT-L-14"}) {
    CAPTURE(name);
    auto config = model_config(name);
    config.image_mean = {0.5, 0.4, 0.3};
    config.resize_mode = ResizeMode::kSquash;
    config.interpolation = Interpolation::kBilinear;
    const auto json = hugging_face_config(config);
    CHECK((json["text_config"]["eos_token_id"] == 49407));
    const auto back = config_of_hugging_face(json, hugging_face_preprocessor(config), name);
    const auto& a = std::get<VisionTransformerOptions>(config.image);
    const auto& b = std::get<VisionTransformerOptions>(back.image);
    CHECK((a.image_size == b.image_size && a.patch_size == b.patch_size && a.width == b.width));
    CHECK((a.layers == b.layers && a.heads == b.heads && a.hidden() == b.hidden()));
    CHECK((a.output_dim == b.output_dim && a.activation == b.activation));
    const auto &x = config.text, &y = back.text;
    CHECK((x.width == y.width && x.layers == y.layers && x.heads == y.heads));
    CHECK((x.context_length == y.context_length && x.vocab_size == y.vocab_size));
    CHECK((x.activation == y.activation && x.output_dim == y.output_dim));
    CHECK((back.image_mean == config.image_mean && back.image_std == config.image_std));
    CHECK((back.resize_mode == config.resize_mode && back.interpolation == config.interpolation));
    CHECK(back.initial_logit_scale == config.initial_logit_scale);
  }
  const auto usual = config_of_hugging_face({{"model_type", "clip"}}, nullptr, "openai");
  CHECK(std::get<VisionTransformerOptions>(usual.image).width == 768);
  CHECK(usual.text.activation == Activation::kQuickGelu);
  // 4304 / 1152 is no binary fraction.
  const auto odd = config_of_hugging_face(
      {{"model_type", "clip"},
       {"vision_config", {{"hidden_size", 1152}, {"intermediate_size", 4304}}}},
      nullptr, "odd");
  CHECK(std::get<VisionTransformerOptions>(odd.image).hidden() == 4304);
}

TEST_CASE("A model that is no CLIPModel says why", "[towers][cpu]") {
  const auto refused = [](const ModelConfig& config, std::initializer_list<const char*> words) {
    CHECK(test::raises([&] { static_cast<void>(hugging_face_config(config)); }, words));
  };
  refused(model_config("RN50"), {"RN50", "ModifiedResNet"});
  auto siglip = model_config("ViT-B-16-SigLIP");
  siglip.initial_logit_bias.reset();
  refused(siglip, {"SiglipModel", "no bias of the similarities"});
  auto config = model_config("ViT-B-32");
  config.initial_logit_bias = -10.0;
  refused(config, {"bias of the similarities"});
  config = model_config("ViT-B-32");
  std::get<VisionTransformerOptions>(config.image).registers = 4;
  refused(config, {"parts that CLIP's does not have"});
  config = model_config("ViT-B-32");
  std::get<VisionTransformerOptions>(config.image).attention = parse_attention_plan("window7");
  refused(config, {"not global"});
  config = model_config("ViT-B-32");
  config.text.layer_hidden = std::vector<std::int64_t>(12, 100);
  refused(config, {"layers differ"});
  config = model_config("ViT-B-32");
  config.resize_mode = ResizeMode::kLongest;
  CHECK(test::raises([&] { static_cast<void>(hugging_face_preprocessor(config)); }, {"square"}));
  const auto unread = [](const nlohmann::json& json, std::initializer_list<const char*> words) {
    CHECK(test::raises(
        [&] { static_cast<void>(config_of_hugging_face(json, nullptr, "some model")); }, words));
  };
  unread({{"model_type", "blip"}}, {"some model", "blip"});
  unread(nlohmann::json(), {"no JSON object"});
  unread({{"model_type", "clip"}, {"projection_dim", "wide"}}, {"unexpected type"});
  unread({{"model_type", "clip"}, {"text_config", {{"hidden_act", "relu"}}}}, {"relu"});
}
