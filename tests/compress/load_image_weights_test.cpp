// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/compress/load_image_weights.hpp"

#include <limits>
#include <string>
#include <utility>
#include <variant>

#include "contrapunto/towers/make_dual_encoder.hpp"
#include "contrapunto/towers/make_image_tower.hpp"
#include "support/catch.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

TensorMap tensors_of(const torch::nn::Module& module, const std::string& prefix = "") {
  TensorMap state;
  for (const auto& item : module.named_parameters())
    state[prefix + item.key()] = item.value().detach().clone();
  for (const auto& item : module.named_buffers())
    state[prefix + item.key()] = item.value().detach().clone();
  return state;
}

/// Whether loading `state` makes the tower the one with the tensors `expected`.
bool loads(const ModelConfig& config, const TensorMap& state, const TensorMap& expected) {
  torch::manual_seed(99);
  const auto tower = make_image_tower(config);
  load_image_weights(tower, nullptr, state, config.name);
  const auto now = tensors_of(*tower);
  if (now.size() != expected.size()) return false;
  for (const auto& [name, tensor] : now)
    if (!torch::equal(tensor, expected.at(name))) return false;
  return true;
}

void load(const ModelConfig& config, const TensorMap& state, torch::nn::Module* head = nullptr) {
  load_image_weights(make_image_tower(config), head, state, config.name);
}

}  // namespace

TEST_CASE("An image tower starts from CLIP weights, from a tower and from a classifier",
          "[compress][cpu]") {
  for (const auto* name : {"ViT-B-32", "RN50", "ViT-B-16-SigLIP"}) {
    INFO(name);
    torch::manual_seed(1);
    const auto config = test::small_config(name);
    const auto model = make_dual_encoder(config);
    const auto expected = tensors_of(*model->x_tower());
    const auto clip = open_clip_state(model, config);
    CHECK(loads(config, clip, expected));
    TensorMap wrapped, alone, timm;
    for (const auto& [key, tensor] : clip) {
      wrapped["module." + key] = tensor;
      const std::string visual = "visual.", trunk = "visual.trunk.";
      if (key.starts_with(visual)) alone[key.substr(visual.size())] = tensor;
      if (key.starts_with(trunk)) timm[key.substr(trunk.size())] = tensor;
    }
    CHECK(loads(config, wrapped, expected));
    CHECK(loads(config, alone, expected));
    CHECK(timm.empty() == (std::string(name) != "ViT-B-16-SigLIP"));
    if (!timm.empty()) {
      timm["head.weight"] = torch::ones({3, 2});  // timm's classifier
      CHECK(loads(config, timm, expected));
    }
    CHECK(loads(config, tensors_of(*model->x_tower()), expected));
    CHECK(loads(config, tensors_of(*model->x_tower(), "tower."), expected));
  }
}

TEST_CASE("Positions are resized to the grid of the tower", "[compress][cpu]") {
  torch::manual_seed(2);
  auto config = test::small_config("ViT-B-32");
  const auto small = tensors_of(*make_image_tower(config), "tower.");
  auto& vit = std::get<VisionTransformerOptions>(config.image);
  vit.image_size *= 2;
  const auto tower = make_image_tower(config);
  load_image_weights(tower, nullptr, small, config.name);
  const auto positions = tensors_of(*tower).at("positional_embedding");
  CHECK(torch::equal(positions[0], small.at("tower.positional_embedding")[0]));  // of the class
  CHECK(torch::equal(
      positions,
      tower.fit_open_clip_tensor("positional_embedding", small.at("tower.positional_embedding"))));
}

TEST_CASE("The head of a classifier is loaded if it is wanted", "[compress][cpu]") {
  torch::manual_seed(3);
  const auto config = test::small_config("ViT-B-32");
  const auto tower = make_image_tower(config);
  torch::nn::Linear head(config.embed_dim, 5), other(config.embed_dim, 6);
  auto state = tensors_of(*tower, "tower.");
  state.merge(tensors_of(*head, "head."));
  torch::nn::Linear fresh(config.embed_dim, 5);
  load(config, state, fresh.get());
  CHECK(torch::equal(fresh->weight, head->weight));
  CHECK(torch::equal(fresh->bias, head->bias));
  CHECK_THROWS_WITH(load(config, state, other.get()),
                    Contains("other shape: head.weight") && Contains("[6, "));
  CHECK_NOTHROW(load(config, state));  // The head in the file does not matter then.
  CHECK_THROWS_WITH(load(config, tensors_of(*tower, "tower."), fresh.get()),
                    Contains("missing: head.weight"));
}

TEST_CASE("An image tower starts from arrays of big_vision, with their classifier if wanted",
          "[compress][cpu]") {
  torch::manual_seed(5);
  for (const auto* name :
       {"vit_tiny_patch16_224", "vit_small_patch16_big_vision", "ViT-B-16-SigLIP"}) {
    INFO(name);
    const auto config = test::small_config(name);
    const auto tower = make_image_tower(config);
    auto state = npz_state(tower);
    const auto expected = tensors_of(*tower);
    CHECK(loads(config, state, expected));
    const std::string prefix = state.contains("embedding/kernel") ? "" : "params/";
    torch::nn::Linear head(config.embed_dim, 5), fresh(config.embed_dim, 5);
    CHECK_THROWS_WITH(load(config, state, fresh.get()), Contains("missing: head.weight"));
    state[prefix + "head/kernel"] = head->weight.detach().t().contiguous();
    state[prefix + "head/bias"] = head->bias.detach();
    CHECK(loads(config, state, expected));
    load(config, state, fresh.get());
    CHECK(torch::equal(fresh->weight, head->weight));
    CHECK(torch::equal(fresh->bias, head->bias));
    // A hidden layer below the classifier matters only with the classifier.
    state[prefix + "pre_logits/kernel"] = torch::ones({4, 4});
    CHECK(loads(config, state, expected));
    CHECK_THROWS_WITH(load(config, state, fresh.get()),
                      Contains("unexpected: head.pre_logits/kernel"));
    state[prefix + "embedding/bias"].fill_(std::numeric_limits<float>::infinity());
    CHECK_THROWS_WITH(load(config, state), Contains("conv1.bias") && Contains("NaN or infinity"));
  }
}

TEST_CASE("Tensors that timm keeps apart or together are read", "[compress][cpu]") {
  torch::manual_seed(6);
  auto config = test::small_config("vit_small_patch16_rope_mixed_224");
  const auto tower = make_image_tower(config);
  auto state = timm_state(tower);
  CHECK(state.contains("rope.freqs"));
  const auto qkv = state.at("blocks.1.attn.qkv.weight").chunk(3);
  state.erase("blocks.1.attn.qkv.weight");
  for (const auto& [name, part] : {std::pair{"q", 0}, {"k", 1}, {"v", 2}})
    state["blocks.1.attn." + std::string(name) + "_proj.weight"] =
        qkv[static_cast<std::size_t>(part)];
  CHECK(loads(config, state, tensors_of(*tower)));
}

TEST_CASE("Weights that do not fit are refused before anything changes", "[compress][cpu]") {
  torch::manual_seed(4);
  const auto config = test::small_config("ViT-B-32");
  const auto tower = make_image_tower(config);
  const auto before = tensors_of(*tower);
  const auto fails = [&](TensorMap state, const auto& matcher) {
    CHECK_THROWS_WITH(load_image_weights(tower, nullptr, std::move(state), config.name), matcher);
    for (const auto& [name, tensor] : tensors_of(*tower))
      CHECK(torch::equal(tensor, before.at(name)));
  };
  auto state = tensors_of(*make_image_tower(config), "visual.");
  const auto first = state.begin()->first;
  auto changed = state;
  changed.erase(first);
  fails(changed, Contains("missing: " + first));
  changed = state;
  changed["visual.extra"] = torch::ones({2});
  fails(changed, Contains("unexpected: visual.extra"));
  changed = state;
  changed[first] = torch::full_like(state.at(first), std::numeric_limits<float>::quiet_NaN());
  fails(changed, Contains(first) && Contains("NaN"));
  changed = state;
  changed["visual.proj"] = torch::ones({1, 2});
  fails(changed, Contains("other shape: visual.proj"));
  fails({{"encoder.weight", torch::ones({1})}},
        Contains("'encoder.weight'") && Contains("another kind of model"));
  fails({}, Contains("0 tensors"));
}
