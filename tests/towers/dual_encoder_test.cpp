// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "support/catch.hpp"

#include <ATen/autocast_mode.h>

#include <variant>

#include "contrapunto/towers/lock_towers.hpp"
#include "nn/raises.hpp"
#include "support/tolerance.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

struct BagOfTokensImpl : torch::nn::Module {
  BagOfTokensImpl() { weight = register_parameter("weight", torch::randn({100, 20})); }
  at::Tensor forward(const at::Tensor& tokens) { return at::embedding(weight, tokens).mean(1); }
  at::Tensor weight;
};
TORCH_MODULE(BagOfTokens);

const std::vector<std::string> kKinds = {"ViT-B-32", "RN50", "ViT-B-16-SigLIP"};

struct Autocast {
  Autocast() { at::autocast::set_autocast_enabled(at::kCPU, true); }
  ~Autocast() {
    at::autocast::set_autocast_enabled(at::kCPU, false);
    at::autocast::clear_cache();
  }
};

}  // namespace

TEST_CASE("Features are unit rows in float32, whatever the precision", "[towers][cpu]") {
  for (const auto& kind : kKinds) {
    INFO(kind);
    torch::manual_seed(50);
    const auto config = test::small_config(kind);
    auto model = make_dual_encoder(config);
    const auto images = test::images(config, 4);
    const auto tokens = test::texts({3, 15, 7, 5});
    const auto check = [&](const Embeddings& e) {
      for (const auto& features : {e.x, e.y}) {
        CHECK(features.scalar_type() == at::kFloat);
        CHECK(features.sizes() == at::IntArrayRef({4, 20}));
        CHECK(test::close(features.norm(2, 1), torch::ones({4})));
      }
      CHECK(e.scale.scalar_type() == at::kFloat);
      CHECK(e.bias.has_value() == (kind == "ViT-B-16-SigLIP"));
    };
    const auto whole = model->forward(images, tokens);
    check(whole);
    {
      const Autocast autocast;
      const auto e = model->forward(images, tokens);
      check(e);
      // bfloat16 has 8 bits, and a cosine of 0.99 leaves an angle of 8 degrees.
      CHECK((e.y * whole.y).sum(1).min().item<double>() > 0.99);
      CHECK((e.x * whole.x).sum(1).min().item<double>() > 0.99);
    }
    model->to(at::kBFloat16);
    check(model->forward(images, tokens));
  }
}

TEST_CASE("A tower whose features have another width than embed_dim is refused", "[towers][cpu]") {
  for (const auto& kind : kKinds) {
    auto config = test::small_config(kind);
    config.text.output_dim = 12;
    CHECK_THROWS_WITH(make_dual_encoder(config), Contains("the text tower of") && Contains("12"));
    config = test::small_config(kind);
    std::visit([](auto& image) { image.output_dim = 12; }, config.image);
    CHECK_THROWS_WITH(make_dual_encoder(config), Contains("the image tower of") && Contains("12"));
    CHECK_THROWS_WITH(make_image_tower(config), Contains("embed_dim is 20"));
  }
}

TEST_CASE("Pure bfloat16 weights with norms left in float32 work", "[towers][cpu]") {
  for (const auto& kind : kKinds) {
    torch::manual_seed(51);
    const auto config = test::small_config(kind);
    auto model = make_dual_encoder(config);
    for (auto& module : model->modules())
      if (!module->as<LayerNormImpl>() && !module->as<BatchNormImpl>())
        for (auto& p : module->parameters(/*recurse=*/false)) p.set_data(p.to(at::kBFloat16));
    const auto e = model->forward(test::images(config, 2), test::texts({3, 9}));
    (e.x * e.y).sum().backward();
    CHECK(e.x.scalar_type() == at::kFloat);
    CHECK(model->visual()->parameters().front().grad().scalar_type() == at::kBFloat16);
  }
}

TEST_CASE("A gradient reaches every trainable parameter", "[towers][cpu]") {
  for (const auto& kind : kKinds) {
    torch::manual_seed(52);
    const auto config = test::small_config(kind);
    auto model = make_dual_encoder(config);
    const auto images = test::images(config, 4);
    const auto tokens = test::texts({3, 15, 7, 5});
    // A bottleneck's last norm starts at zero and hides the layers before it.
    for (const auto& item : model->visual()->named_parameters())
      if (item.key().ends_with("bn3.weight")) item.value().detach().fill_(0.5);
    const auto e = model->forward(images, tokens);
    auto logits = e.scale * e.x.mm(e.y.t());
    if (e.bias) logits = logits + *e.bias;
    torch::softplus(logits * torch::randn({4, 4})).sum().backward();
    for (const auto& item : model->named_parameters()) {
      INFO(kind << " " << item.key());
      REQUIRE(item.value().grad().defined());
      CHECK(item.value().grad().abs().max().item<double>() > 0.0);
    }
  }
}

TEST_CASE("A user's own tower works beside ours", "[towers][cpu]") {
  torch::manual_seed(53);
  DualEncoder model(VisionTransformer(test::small_vit()), BagOfTokens{},
                    DualEncoderOptions{.initial_logit_scale = 0.0, .initial_logit_bias = -1.0});
  const auto tokens = test::texts({3, 9});
  const auto e = model->forward(torch::randn({2, 3, 32, 32}), tokens);
  const auto expected = torch::nn::functional::normalize(
      model->named_parameters()["text.weight"].index({tokens}).mean(1));
  CHECK(test::close(e.y, expected));
  CHECK(e.scale.item<double>() == 1.0);
  CHECK(e.bias->item<double>() == -1.0);
  CHECK(test::raises([&] { lock_text_tower(model); },
                     {"BagOfTokensImpl", "lock_groups", "set_requires_grad"}));
  DualEncoder twins{BagOfTokens(), BagOfTokens()};
  CHECK(test::raises([&] { lock_image_tower(twins); }, {"BagOfTokensImpl"}));
}

TEST_CASE("Two towers that do not fit are refused with both shapes", "[towers][cpu]") {
  auto narrow = test::small_vit();
  narrow.output_dim = 8;
  DualEncoder model{VisionTransformer(narrow), BagOfTokens()};
  CHECK(test::raises(
      [&] {
        static_cast<void>(model->forward(torch::randn({2, 3, 32, 32}), test::texts({3, 9})));
      },
      {"[2, 8]", "[2, 20]", "output_dim"}));
  auto config = test::small_config("ViT-B-32");
  config.embed_dim = 21;
  CHECK(test::raises([&] { static_cast<void>(make_dual_encoder(config)); },
                     {"embed_dim is 21", "20"}));
}

TEST_CASE("The scale is clamped to [1, 100]", "[towers][cpu]") {
  DualEncoder model{BagOfTokens(), BagOfTokens()};
  CHECK(model->scale().item<double>() == Approx(1 / 0.07));
  for (const auto& [start, end] : {std::pair(9.0, 100.0), {-3.0, 1.0}, {2.0, std::exp(2.0)}}) {
    model->logit_scale.detach().fill_(start);
    model->clamp_logit_scale_();
    CHECK(model->scale().item<double>() == Approx(end));
  }
  CHECK(model->logit_scale.requires_grad());
}

TEST_CASE("Locking leaves the last groups of each tower trainable", "[towers][cpu]") {
  for (const auto& kind : {"ViT-B-32", "ViT-B-16-SigLIP"}) {
    auto model = make_dual_encoder(test::small_config(kind));
    const auto trainable = [&](const std::string& prefix) {
      std::set<std::string> groups;
      for (const auto& item : model->named_parameters()) {
        if (!item.value().requires_grad() || !item.key().starts_with(prefix)) continue;
        auto name = item.key().substr(prefix.size());
        if (name.starts_with("transformer.resblocks."))
          name = "block " + name.substr(std::string("transformer.resblocks.").size(), 1);
        groups.insert(name.substr(0, name.find('.')));
      }
      return groups;
    };
    using Names = std::set<std::string>;
    const bool siglip = std::string(kind) == "ViT-B-16-SigLIP";
    const std::string head = siglip ? "attn_pool" : "proj";
    lock_image_tower(model);
    lock_text_tower(model);
    CHECK(trainable("visual.").empty());
    CHECK(trainable("text.").empty());
    CHECK(model->logit_scale.requires_grad());
    lock_image_tower(model, 1);
    lock_text_tower(model, 1);
    CHECK(trainable("visual.") == Names{head});
    CHECK(trainable("text.") == Names{"text_projection"});
    lock_image_tower(model, 3);
    lock_text_tower(model, 2);
    CHECK(trainable("visual.") == Names{head, "ln_post", "block 2", "block 1"});
    CHECK(trainable("text.") == Names{"text_projection", "ln_final", "block 2"});
    lock_image_tower(model, 99);
    for (const auto& p : model->visual()->parameters()) CHECK(p.requires_grad());
  }
  auto model = make_dual_encoder(test::small_config("ViT-B-32"));
  CHECK(test::raises([&] { lock_image_tower(model, -1); }, {"unlocked_groups (-1)"}));
}
