// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "support/catch.hpp"

#include "contrapunto/towers/open_clip_state.hpp"
#include "nn/raises.hpp"
#include "support/tolerance.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;

namespace {

const std::vector<std::string> kKinds = {"ViT-B-32", "RN50", "ViT-B-16-SigLIP"};

bool same_features(DualEncoder& a, DualEncoder& b, const ModelConfig& config) {
  a->eval();
  b->eval();
  const auto images = test::images(config, 2);
  const auto tokens = test::texts({3, 9});
  const auto x = a->forward(images, tokens);
  const auto y = b->forward(images, tokens);
  return at::equal(x.x, y.x) && at::equal(x.y, y.y);
}

}  // namespace

TEST_CASE("States have OpenCLIP's number of tensors and names", "[towers][cpu]") {
  const auto state = [](const std::string& name) {
    const auto config = model_config(name);
    auto model = make_dual_encoder(config, at::device(at::kMeta));
    return open_clip_state(model, config);
  };
  const auto vit = state("ViT-B-32");
  CHECK(vit.size() == 302);
  CHECK(vit.at("positional_embedding").sizes() == at::IntArrayRef({77, 512}));
  CHECK(vit.at("visual.proj").sizes() == at::IntArrayRef({768, 512}));
  CHECK(vit.at("logit_scale").dim() == 0);
  CHECK(vit.contains("transformer.resblocks.11.attn.in_proj_bias"));
  const auto resnet = state("RN50");
  CHECK(resnet.size() == 489);
  CHECK(resnet.contains("visual.layer4.0.downsample.1.num_batches_tracked"));
  CHECK(resnet.at("visual.attnpool.c_proj.weight").sizes() == at::IntArrayRef({1024, 2048}));
  const auto siglip = state("ViT-B-16-SigLIP");
  CHECK(siglip.size() == 314);
  CHECK(siglip.at("visual.trunk.pos_embed").sizes() == at::IntArrayRef({1, 196, 768}));
  CHECK(siglip.contains("visual.trunk.blocks.11.attn.qkv.bias"));
  CHECK(siglip.contains("visual.trunk.attn_pool.mlp.fc2.weight"));
  CHECK(siglip.contains("text.text_projection.bias"));
}

TEST_CASE("A state is written and read again, under each of its old names", "[towers][cpu]") {
  torch::manual_seed(60);
  for (const auto& kind : kKinds) {
    INFO(kind);
    const auto config = test::small_config(kind);
    auto source = make_dual_encoder(config);
    const auto state = open_clip_state(source, config);
    for (const auto& [name, tensor] : state) CHECK(tensor.is_contiguous());
    auto target = make_dual_encoder(config);
    CHECK_FALSE(same_features(source, target, config));
    load_open_clip_state(target, config, state);
    CHECK(same_features(source, target, config));

    TensorMap wrapped;
    for (const auto& [name, tensor] : state)
      wrapped.emplace("module." + name, tensor.dim() == 0 ? tensor.reshape({1}) : tensor);
    wrapped.erase("module.logit_bias");
    wrapped.emplace("context_length", torch::tensor(77));
    if (kind == "RN50")  // counters are scalars in every file
      for (auto& [name, tensor] : wrapped)
        if (name.ends_with("num_batches_tracked")) tensor = tensor.reshape({});
    target = make_dual_encoder(config);
    load_open_clip_state(target, config, wrapped);
    CHECK(same_features(source, target, config));
    if (config.initial_logit_bias) CHECK(target->logit_bias.item<double>() == 0.0);
  }
}

TEST_CASE("Names of text tensors are read with and without their prefix", "[towers][cpu]") {
  torch::manual_seed(61);
  auto flat = test::small_config("ViT-B-32");
  auto prefixed = flat;
  prefixed.custom_text = true;
  auto source = make_dual_encoder(flat);
  auto target = make_dual_encoder(prefixed);
  load_open_clip_state(target, prefixed, open_clip_state(source, flat));
  CHECK(same_features(source, target, flat));
  auto back = make_dual_encoder(flat);
  load_open_clip_state(back, flat, open_clip_state(target, prefixed));
  CHECK(same_features(source, back, flat));
}

TEST_CASE("Positions are resized on load", "[towers][cpu]") {
  torch::manual_seed(62);
  for (const auto& kind : kKinds) {
    INFO(kind);
    const auto config = test::small_config(kind);
    auto source = make_dual_encoder(config);
    auto larger = config;
    std::visit([](auto& options) { options.image_size *= 2; }, larger.image);
    larger.text.context_length = 24;
    auto target = make_dual_encoder(larger);
    load_open_clip_state(target, larger, open_clip_state(source, config));
    const std::string name =
        kind == "RN50" ? "visual.attnpool.positional_embedding" : "visual.positional_embedding";
    const std::int64_t prefix = kind == "ViT-B-16-SigLIP" ? 0 : 1;
    const auto old = source->named_parameters()[name];
    const auto now = target->named_parameters()[name];
    const std::int64_t grid = kind == "RN50" ? 4 : 8;
    CHECK(at::equal(now, resize_grid_positions(old, prefix, grid)));
    CHECK(at::equal(now.narrow(0, 0, prefix), old.narrow(0, 0, prefix)));
    CHECK(at::equal(
        target->named_parameters()["text.positional_embedding"],
        resize_text_positions(source->named_parameters()["text.positional_embedding"], 24)));
  }
}

TEST_CASE("Weights of another model are refused by name, and nothing is copied", "[towers][cpu]") {
  torch::manual_seed(63);
  const auto config = test::small_config("ViT-B-32");
  auto source = make_dual_encoder(config);
  auto state = open_clip_state(source, config);
  state.erase("ln_final.bias");
  state["visual.head"] = torch::zeros({1});
  state["visual.proj"] = torch::zeros({3, 4});
  auto target = make_dual_encoder(config);
  const auto before = target->text()->named_parameters()["token_embedding.weight"].clone();
  CHECK(test::raises([&] { load_open_clip_state(target, config, state); },
                     {"'ViT-B-32'", "missing: ln_final.bias", "unexpected: visual.head",
                      "other shape: visual.proj is [24, 20] here, [3, 4] in the state"}));
  state = open_clip_state(source, config);
  state["visual.proj"] = state["visual.proj"].to(at::kLong);
  CHECK(test::raises([&] { load_open_clip_state(target, config, state); },
                     {"other type: visual.proj is Float here, Long in the state"}));
  state["visual.proj"] = at::full_like(state["visual.proj"], 1, at::kFloat).div(0);
  CHECK(test::raises([&] { load_open_clip_state(target, config, state); },
                     {"'visual.proj'", "NaN or infinity"}));
  CHECK(at::equal(target->text()->named_parameters()["token_embedding.weight"], before));
}

TEST_CASE("A state in 16 bit loads into a model in float32", "[towers][cpu]") {
  torch::manual_seed(64);
  const auto config = test::small_config("ViT-B-32");
  auto source = make_dual_encoder(config);
  auto state = open_clip_state(source, config);
  for (auto& [name, tensor] : state) tensor = tensor.to(at::kHalf);
  auto target = make_dual_encoder(config);
  load_open_clip_state(target, config, state);
  for (const auto& p : target->parameters()) CHECK(p.scalar_type() == at::kFloat);
}
