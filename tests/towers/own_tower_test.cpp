// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "support/catch.hpp"

#include "contrapunto/towers/activation_memory.hpp"
#include "contrapunto/towers/checkpoint_activations.hpp"
#include "contrapunto/towers/lock_towers.hpp"
#include "contrapunto/towers/open_clip_state.hpp"
#include "nn/raises.hpp"
#include "support/tolerance.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;

namespace {

/// A tower with all optional members, as a user would write it.
struct PatchMlpImpl : torch::nn::Module {
  PatchMlpImpl() {
    stem = register_module("stem", torch::nn::Linear(3, 20));
    positions = register_parameter("positions", torch::randn({20}));
    norm = register_module("norm", BatchNorm(20));
    head = register_module("head", torch::nn::Linear(20, 20));
  }
  at::Tensor forward(const at::Tensor& images) {
    const auto x = stem(images.mean({2, 3})) + positions;
    const auto block = [this](const at::Tensor& z) { return norm(z).relu(); };
    return head(checkpoint ? activation_checkpoint(block, x, norm->parameters()) : block(x));
  }
  ForwardCost cost(std::int64_t /*tokens*/) const { return {460.0, 80.0}; }
  LockGroups lock_groups() const { return {{}, {"norm"}, {"head"}}; }
  void checkpoint_activations(bool on) { checkpoint = on; }
  std::string open_clip_name(const std::string& name) const {
    return name.starts_with("head.") ? "classifier." + name.substr(5) : name;
  }
  at::Tensor fit_open_clip_tensor(const std::string& name, const at::Tensor& source) const {
    return name == "positions" ? source.flatten() : source;
  }
  torch::nn::Linear stem = nullptr, head = nullptr;
  BatchNorm norm = nullptr;
  at::Tensor positions;
  bool checkpoint = false;
};
TORCH_MODULE(PatchMlp);

/// A tower with a forward only.
struct BareImpl : torch::nn::Module {
  BareImpl() { weight = register_parameter("weight", torch::randn({100, 20})); }
  at::Tensor forward(const at::Tensor& tokens) { return at::embedding(weight, tokens).mean(1); }
  at::Tensor weight;
};
TORCH_MODULE(Bare);

std::set<std::string> trainable(const torch::nn::Module& module) {
  std::set<std::string> names;
  for (const auto& item : module.named_parameters())
    if (item.value().requires_grad()) names.insert(item.key());
  return names;
}

}  // namespace

TEST_CASE("A tower in one file has cost, locking, checkpoints and names", "[towers][cpu]") {
  torch::manual_seed(90);
  PatchMlp own;
  DualEncoder model(own, TextTransformer(test::small_text()));
  CHECK(forward_gflops(model).x == Approx(2 * 460e-9));
  CHECK(forward_gflops(model).y == Approx(forward_gflops(test::small_config("ViT-B-32")).y));
  CHECK(forward_gflops(model, 4).y < forward_gflops(model).y);
  auto config = test::small_config("ViT-B-32");
  CHECK(activation_bytes(model, 4.0) - 4 * 80 ==
        Approx(activation_bytes(config, 4.0) -
               4 * VisionTransformer(test::small_vit())->cost().kept_elements));

  lock_image_tower(model, 1, /*freeze_batch_norm_statistics=*/true);
  CHECK(trainable(*own) == std::set<std::string>{"head.bias", "head.weight"});
  CHECK(own->norm->frozen());
  lock_tower(own, 2);
  CHECK(trainable(*own) ==
        std::set<std::string>{"head.bias", "head.weight", "norm.bias", "norm.weight"});
  lock_tower(own, 99);
  CHECK(trainable(*own).size() == 7);

  checkpoint_activations(*model);
  CHECK(own->checkpoint);
  checkpoint_activations(*model, false);
  CHECK_FALSE(own->checkpoint);

  auto state = open_clip_state(model, /*custom_text=*/false);
  CHECK(state.contains("visual.classifier.weight"));
  CHECK(state.contains("visual.norm.running_var"));
  CHECK(state.contains("ln_final.weight"));
  CHECK(open_clip_state(model, /*custom_text=*/true).contains("text.ln_final.weight"));
  state["visual.positions"] = state["visual.positions"].view({4, 5});
  DualEncoder target{PatchMlp(), TextTransformer(test::small_text())};
  load_open_clip_state(target, /*custom_text=*/true, state);
  const auto images = torch::randn({3, 3, 32, 32});
  model->eval();
  target->eval();
  CHECK(at::equal(target->encode_x(images), model->encode_x(images)));
}

TEST_CASE("A tower without optional members trains, and functions that need them raise",
          "[towers][cpu]") {
  torch::manual_seed(91);
  DualEncoder model{Bare(), TextTransformer(test::small_text())};
  const auto tokens = test::texts({3, 9, 5});
  const auto e = model(tokens, tokens);
  (e.x * e.y).sum().backward();
  CHECK(model->x_tower()->parameters().front().grad().defined());
  CHECK(test::raises([&] { static_cast<void>(forward_gflops(model)); },
                     {"BareImpl", "forward_gflops", "ForwardCost cost", "extending.md"}));
  CHECK(test::raises([&] { static_cast<void>(activation_bytes(model, 4.0)); },
                     {"BareImpl", "activation_bytes", "ForwardCost cost"}));
  CHECK(test::raises([&] { lock_image_tower(model); }, {"BareImpl", "LockGroups lock_groups"}));
  CHECK(test::raises([&] { checkpoint_activations(*model); },
                     {"BareImpl", "checkpoint_activations(bool on)"}));
  CHECK_FALSE(model->x_tower().cost().has_value());
  CHECK(open_clip_state(model, false).contains("visual.weight"));
}

TEST_CASE("Groups that name nothing in the tower are refused", "[towers][cpu]") {
  PatchMlp own;
  CHECK(test::raises(
      [&] {
        freeze_all_but_last(*own, {{}, {"haed"}}, 1);
      },
      {"PatchMlpImpl", "'haed'"}));
  CHECK(trainable(*own).size() == 7);
}

TEST_CASE("encode_image and encode_x call the same tower", "[towers][cpu]") {
  torch::manual_seed(92);
  DualEncoder model{Bare(), Bare()};
  const auto tokens = test::texts({3, 9});
  CHECK(at::equal(model->encode_x(tokens), model->encode_image(tokens)));
  CHECK(at::equal(model->encode_y(tokens), model->encode_text(tokens)));
  CHECK_FALSE(at::equal(model->encode_x(tokens), model->encode_y(tokens)));
  CHECK(model->x_tower().ptr() == model->visual().ptr());
  CHECK(model->y_tower().ptr() == model->text().ptr());
  CHECK(model->named_parameters().contains("visual.weight"));
  CHECK(model->named_parameters().contains("text.weight"));
}

namespace {

struct PlaneImpl : torch::nn::Module {
  PlaneImpl() { weight = register_parameter("weight", torch::ones({1})); }
  at::Tensor forward(const at::Tensor& x, const TokenGrid& grid) {
    seen = grid;
    return x * weight;
  }
  at::Tensor weight;
  TokenGrid seen;
};
TORCH_MODULE(Plane);

}  // namespace

TEST_CASE("Towers give attention of a user's own the grid of their tokens", "[towers][cpu]") {
  torch::manual_seed(93);
  Plane own;
  const BlockParts parts{.attention = [&](std::int64_t layer, const AttentionOptions&,
                                          const at::TensorOptions&) -> AnyAttention {
    if (layer != 1) return {};
    return own;
  }};
  auto vit_options = test::small_vit();
  vit_options.parts = parts;
  vit_options.patch_dropout = 0.5;
  VisionTransformer vit(vit_options);
  vit->eval();
  static_cast<void>(vit(torch::randn({2, 3, 32, 32})));
  CHECK(own->seen.batch == 2);
  CHECK(own->seen.rows == 4);
  CHECK(own->seen.columns == 4);
  CHECK(own->seen.prefix == 1);
  vit->train();
  static_cast<void>(vit(torch::randn({2, 3, 32, 32})));
  CHECK(own->seen.rows == 1);
  CHECK(own->seen.columns == 8);

  auto text_options = test::small_text();
  text_options.parts = parts;
  TextTransformer text(text_options);
  static_cast<void>(text(test::texts({3, 9})));
  CHECK(own->seen.rows == 1);
  CHECK(own->seen.columns == 10);
  CHECK(own->seen.prefix == 0);
}
