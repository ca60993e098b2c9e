// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/towers/config_of_state.hpp"

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "contrapunto/io/safetensors.hpp"
#include "contrapunto/loss/info_nce.hpp"
#include "contrapunto/optim/adamw.hpp"
#include "contrapunto/optim/decay_groups.hpp"
#include "contrapunto/towers/find_model_config.hpp"
#include "contrapunto/towers/forward_gflops.hpp"
#include "io/temporary_folder.hpp"
#include "nn/raises.hpp"
#include "support/tolerance.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;
using Layers = std::vector<std::int64_t>;

namespace {

const VisionTransformerOptions& vit(const ModelConfig& config) {
  return std::get<VisionTransformerOptions>(config.image);
}

/// A transformer of OpenCLIP's names, tensor by tensor, with heads of 64 numbers.
void add_transformer(TensorMap& state, const std::string& prefix, std::int64_t width,
                     const Layers& heads, const Layers& hidden) {
  const auto add = [&](const std::string& name, at::IntArrayRef shape) {
    state.emplace(prefix + name, 0.05 * torch::randn(shape));
  };
  for (std::size_t i = 0; i < heads.size(); ++i) {
    const auto block = "transformer.resblocks." + std::to_string(i) + ".";
    const auto inner = 64 * heads[i];
    if (inner > 0) {
      add(block + "ln_1.weight", {width});
      add(block + "ln_1.bias", {width});
      add(block + "attn.in_proj_weight", {3 * inner, width});
      add(block + "attn.in_proj_bias", {3 * inner});
      add(block + "attn.out_proj.weight", {width, inner});
      add(block + "attn.out_proj.bias", {width});
    }
    add(block + "ln_2.weight", {width});
    add(block + "ln_2.bias", {width});
    add(block + "mlp.c_fc.weight", {hidden[i], width});
    add(block + "mlp.c_fc.bias", {hidden[i]});
    add(block + "mlp.c_proj.weight", {width, hidden[i]});
    add(block + "mlp.c_proj.bias", {width});
  }
}

/// The state of a model like those that TinyCLIP extracts: odd widths, layers that differ, a layer
/// without attention and one without hidden units.
TensorMap extracted_state() {
  TensorMap state;
  const std::int64_t image = 37, text = 29, features = 24;
  state.emplace("visual.conv1.weight", 0.05 * torch::randn({image, 3, 8, 8}));
  state.emplace("visual.class_embedding", torch::randn({image}));
  state.emplace("visual.positional_embedding", torch::randn({10, image}));
  for (const auto* norm : {"visual.ln_pre.", "visual.ln_post."}) {
    state.emplace(std::string(norm) + "weight", torch::rand({image}));
    state.emplace(std::string(norm) + "bias", torch::rand({image}));
  }
  add_transformer(state, "visual.", image, {1, 0, 2, 1}, {50, 33, 0, 7});
  state.emplace("visual.proj", torch::randn({image, features}));
  state.emplace("token_embedding.weight", torch::randn({100, text}));
  state.emplace("positional_embedding", torch::randn({16, text}));
  add_transformer(state, "", text, {2, 1}, {40, 3});
  state.emplace("ln_final.weight", torch::rand({text}));
  state.emplace("ln_final.bias", torch::rand({text}));
  state.emplace("text_projection", torch::randn({text, features}));
  state.emplace("logit_scale", torch::tensor(3.0));
  return state;
}

}  // namespace

TEST_CASE("The shapes of every named model give its configuration", "[towers][cpu]") {
  for (const auto& name : model_names()) {
    INFO(name);
    const auto expected = model_config(name);
    const auto* image_vit = std::get_if<VisionTransformerOptions>(&expected.image);
    if (expected.image_only || (image_vit != nullptr && image_vit->timm_names)) continue;
    const auto state =
        open_clip_state(make_dual_encoder(expected, at::device(at::kMeta)), expected);
    const auto config = config_of_state(state, name.starts_with("ViT-H") ? 80 : 64);
    CHECK(config.embed_dim == expected.embed_dim);
    CHECK(config.image_size() == expected.image_size());
    CHECK_FALSE(config.custom_text);
    const auto same_layers = [](const auto& a, const auto& b) {
      CHECK(a.width == b.width);
      CHECK(a.layers == b.layers);
      CHECK(a.heads == b.heads);
      CHECK(a.hidden() == b.hidden());
      CHECK(a.head_width == 0);
      CHECK(a.layer_heads.empty());
      CHECK(a.layer_hidden.empty());
    };
    same_layers(config.text, expected.text);
    CHECK(config.text.context_length == 77);
    CHECK(config.text.vocab_size == 49408);
    if (const auto* image = std::get_if<VisionTransformerOptions>(&expected.image)) {
      same_layers(vit(config), *image);
      CHECK(vit(config).patch_size == image->patch_size);
    } else {
      const auto& resnet = std::get<ModifiedResNetOptions>(config.image);
      const auto& theirs = std::get<ModifiedResNetOptions>(expected.image);
      CHECK(resnet.layers == theirs.layers);
      CHECK(resnet.width == theirs.width);
      CHECK(resnet.heads == theirs.heads);
    }
    const auto again = open_clip_state(make_dual_encoder(config, at::device(at::kMeta)), config);
    REQUIRE(again.size() == state.size());
    for (const auto& [tensor, value] : state) CHECK(again.at(tensor).sizes() == value.sizes());
  }
}

TEST_CASE("A model whose layers differ is derived from its weights, trained and exported",
          "[towers][cpu]") {
  torch::manual_seed(90);
  const auto state = extracted_state();
  const auto config = config_of_state(state);
  CHECK(config.embed_dim == 24);
  CHECK(config.image_size() == 24);
  CHECK(vit(config).width == 37);
  CHECK(vit(config).layer_heads == Layers{1, 0, 2, 1});
  CHECK(vit(config).layer_hidden == Layers{50, 33, 0, 7});
  CHECK(vit(config).head_width == 64);
  CHECK(config.text.layer_heads == Layers{2, 1});
  CHECK(config.text.layer_hidden == Layers{40, 3});

  auto model = make_dual_encoder(config);
  load_open_clip_state(model, config, state);
  const auto exported = open_clip_state(model, config);
  REQUIRE(exported.size() == state.size());
  for (const auto& [name, tensor] : state) {
    INFO(name);
    CHECK(at::equal(exported.at(name), tensor));
  }

  AdamW optimizer(decay_groups(*model, 0.2));
  const auto images = test::images(config, 4);
  const auto tokens = test::texts({3, 9, 15, 5});
  const auto before =
      model->named_parameters()["visual.transformer.resblocks.2.mlp.c_proj.bias"].detach().clone();
  const auto loss = [&] { return InfoNce{}(model->forward(images, tokens)); };
  const auto first = loss();
  first.backward();
  optimizer.step(1e-3);
  CHECK(loss().item<double>() < first.item<double>());
  for (const auto& item : model->named_parameters())
    CHECK(item.value().isfinite().all().item<bool>());
  CHECK_FALSE(at::equal(
      before, model->named_parameters()["visual.transformer.resblocks.2.mlp.c_proj.bias"]));

  const test::TemporaryFolder folder;
  const auto path = folder / "extracted.safetensors";
  write_safetensors(path, open_clip_state(model, config));
  const auto found = find_model_config(path.string());
  CHECK(found.name == "extracted");
  CHECK(vit(found).layer_heads == vit(config).layer_heads);
  auto copy = make_dual_encoder(found);
  load_open_clip_state(copy, found, read_safetensors(path));
  const auto a = model->forward(images, tokens), b = copy->forward(images, tokens);
  CHECK(at::equal(a.x, b.x));
  CHECK(at::equal(a.y, b.y));
}

TEST_CASE("Names with the prefixes of TinyCLIP's checkpoints give the same model",
          "[towers][cpu]") {
  torch::manual_seed(91);
  const auto state = extracted_state();
  for (const std::string inner : {"", "module.", "other names"}) {
    TensorMap wrapped;
    for (const auto& [name, tensor] : state) {
      const std::string part = name.starts_with("visual.") ? "_image_encoder."
                               : name == "logit_scale"     ? "_logit_scale."
                                                           : "_text_encoder.";
      if (inner != "other names")
        wrapped.emplace("module." + part + inner + name, tensor);
      else if (part == "_logit_scale.")
        wrapped.emplace(part + name, tensor);
      else
        wrapped.emplace(part.substr(1, part.size() - 2) + "_without_ddp." + name, tensor);
    }
    const auto config = config_of_state(wrapped);
    CHECK(vit(config).layer_hidden == Layers{50, 33, 0, 7});
    auto model = make_dual_encoder(config);
    load_open_clip_state(model, config, wrapped);
    CHECK(at::equal(open_clip_state(model, config).at("visual.proj"), state.at("visual.proj")));
  }
  auto twice = state;
  twice.emplace("module.visual.proj", state.at("visual.proj"));
  CHECK(test::raises([&] { static_cast<void>(config_of_state(twice)); },
                     {"two tensors", "'visual.proj'"}));
}

TEST_CASE("Heads of another width, text prefixes and a bias are derived too", "[towers][cpu]") {
  auto config = test::small_config("ViT-B-32");
  config.image = test::irregular_vit();
  config.text = test::irregular_text();
  config.custom_text = true;
  config = with_sigmoid_head(config);
  const auto state = open_clip_state(make_dual_encoder(config, at::device(at::kMeta)), config);
  const auto derived = config_of_state(state, 6, 6);
  CHECK(derived.custom_text);
  CHECK(derived.initial_logit_bias.has_value());
  CHECK(vit(derived).layer_heads == test::irregular_vit().layer_heads);
  CHECK(vit(derived).layer_hidden == test::irregular_vit().layer_hidden);
  CHECK(derived.text.layer_heads == test::irregular_text().layer_heads);
  CHECK(forward_gflops(derived).total() == forward_gflops(config).total());
  const auto again = open_clip_state(make_dual_encoder(derived, at::device(at::kMeta)), derived);
  REQUIRE(again.size() == state.size());
  for (const auto& [name, tensor] : state) CHECK(again.at(name).sizes() == tensor.sizes());
}

TEST_CASE("What cannot be derived from a state is refused with a sentence", "[towers][cpu]") {
  const auto state = extracted_state();
  const auto refuse = [&](const std::function<void(TensorMap&)>& change,
                          std::initializer_list<const char*> words) {
    auto changed = state;
    change(changed);
    CHECK(test::raises([&] { static_cast<void>(config_of_state(changed)); }, words));
  };
  refuse([](TensorMap& s) { s.clear(); }, {"no tensor 'visual.conv1.weight'", "OpenCLIP"});
  refuse([](TensorMap& s) { s["visual.trunk.pos_embed"] = torch::zeros({1}); }, {"timm"});
  refuse([](TensorMap& s) { s["visual.attn_pool.latent"] = torch::zeros({1}); },
         {"pools by attention"});
  refuse(
      [](TensorMap& s) {
        s["visual.positional_embedding"] = torch::zeros({12, 37});
      },
      {"11 positions of patches", "not a square"});
  refuse([](TensorMap& s) { s["positional_embedding"] = torch::zeros({16}); },
         {"'positional_embedding' is [16]", "2 dimensions"});
  refuse(
      [](TensorMap& s) {
        s["transformer.resblocks.1.attn.in_proj_weight"] = torch::zeros({190, 29});
      },
      {"190 rows", "head_width"});
  refuse([](TensorMap& s) { s.erase("transformer.resblocks.1.mlp.c_fc.weight"); },
         {"no tensor 'transformer.resblocks.1.mlp.c_fc.weight'"});
  refuse(
      [](TensorMap& s) {
        s["text_projection"] = torch::zeros({29, 25});
      },
      {"features of 24", "texts of 25"});
  CHECK(test::raises([&] { static_cast<void>(config_of_state(state, 0)); }, {"head_width (0)"}));
}

TEST_CASE("A model that TinyCLIP extracted is named with where its widths are", "[towers][cpu]") {
  for (const auto* name : {"TinyCLIP-auto-ViT-63M-32-Text-31M", "TinyCLIP-auto-ViT-45M-32-Text-18M",
                           "TinyCLIP-auto-ViT-22M-32-Text-10M"})
    CHECK(test::raises([&] { static_cast<void>(find_model_config(name)); },
                       {name, "different widths", "config_of_state", "path of the weights"}));
}
