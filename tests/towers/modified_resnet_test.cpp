// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "support/catch.hpp"

#include "contrapunto/towers/lock_towers.hpp"
#include "nn/raises.hpp"
#include "support/tolerance.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;

TEST_CASE("A ResNet gives the same features for inputs of every memory format", "[towers][cpu]") {
  torch::manual_seed(40);
  ModifiedResNet resnet(test::small_resnet());
  const auto images = torch::randn({2, 3, 64, 64});
  CHECK(at::equal(resnet(images.contiguous(at::MemoryFormat::ChannelsLast)), resnet(images)));
  for (const auto& item : resnet->named_parameters())
    if (item.value().dim() == 4) CHECK(item.value().is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST_CASE("A ResNet takes images of another size with the same parameters", "[towers][cpu]") {
  torch::manual_seed(44);
  ModifiedResNet resnet(test::small_resnet());
  auto options = test::small_resnet();
  options.image_size = 96;
  ModifiedResNet larger(options);
  {
    const at::NoGradGuard no_grad;
    const auto weights = resnet->named_parameters();
    for (auto& item : larger->named_parameters())
      item.value().copy_(larger->fit_open_clip_tensor(item.key(), weights[item.key()]));
  }
  CHECK(resnet->accept_images(96) == 64);
  CHECK(resnet->cost().macs == larger->cost().macs);
  const auto images = torch::randn({2, 3, 96, 96});
  const auto features = resnet(images);
  CHECK(test::close(features, larger(images)));
  features.square().sum().backward();
  const auto& positions = resnet->attnpool->positional_embedding;
  CHECK(positions.grad().abs().sum(1).min().item<double>() > 0.0);
  CHECK(test::raises(
      [&] {
        static_cast<void>(resnet(torch::randn({2, 3, 64, 64})));
      },
      {"[B, 3, 96, 96]"}));
  CHECK(test::raises([&] { resnet->accept_images(40); }, {"40", "multiple of 32"}));
}

TEST_CASE("A new bottleneck returns its shortcut", "[towers][cpu]") {
  torch::manual_seed(41);
  Bottleneck block(16, 4, 1);
  const auto x = torch::rand({2, 16, 4, 4});
  CHECK(test::close(block(x), x));
}

TEST_CASE("Attention pooling of a map equals torch.nn.MultiheadAttention's first token",
          "[towers][cpu]") {
  torch::manual_seed(42);
  AttentionPool2d pool(
      AttentionPool2dOptions{.grid = 3, .width = 16, .heads = 4, .output_dim = 10});
  const at::NoGradGuard no_grad;
  const auto map = torch::randn({2, 16, 3, 3});
  auto x = map.flatten(2).permute({2, 0, 1});  // [9, B, 16]
  x = torch::cat({x.mean(0, true), x}, 0) + pool->positional_embedding.unsqueeze(1);
  torch::nn::MultiheadAttention attention(torch::nn::MultiheadAttentionOptions(16, 4));
  attention->in_proj_weight.copy_(
      torch::cat({pool->q_proj->weight, pool->k_proj->weight, pool->v_proj->weight}));
  attention->in_proj_bias.copy_(
      torch::cat({pool->q_proj->bias, pool->k_proj->bias, pool->v_proj->bias}));
  attention->out_proj->weight.copy_(torch::eye(16));
  attention->out_proj->bias.zero_();
  const auto expected = pool->c_proj(std::get<0>(attention(x, x, x))[0]);
  CHECK(test::close(pool(map), expected, 10));
  CHECK(test::close(pool(map.contiguous(at::MemoryFormat::ChannelsLast)), expected, 10));
}

TEST_CASE("A ResNet locked with frozen statistics trains as it evaluates", "[towers][cpu]") {
  torch::manual_seed(43);
  ModifiedResNet resnet(test::small_resnet());
  const auto images = torch::randn({4, 3, 64, 64}) + 1;
  static_cast<void>(resnet(images));
  resnet->eval();
  const auto evaluated = resnet(images);
  resnet->train();
  const auto trained = resnet(images);
  CHECK_FALSE(test::close(trained, evaluated, 1000));
  resnet->eval();
  const auto after = resnet(images);
  resnet->train();
  lock_tower(resnet, 0, /*freeze_batch_norm_statistics=*/true);
  CHECK(at::equal(resnet(images), after));
  for (const auto& p : resnet->parameters()) CHECK_FALSE(p.requires_grad());
}

TEST_CASE("Only the batch norms of frozen groups are frozen", "[towers][cpu]") {
  ModifiedResNet resnet(test::small_resnet());
  lock_tower(resnet, 2,
             /*freeze_batch_norm_statistics=*/true);  // attention pool and layer4 stay free
  for (const auto& item : resnet->named_modules())
    if (const auto* norm = item.value()->as<BatchNormImpl>())
      CHECK(norm->frozen() == !item.key().starts_with("layer4"));
  for (const auto& item : resnet->named_parameters())
    CHECK(item.value().requires_grad() ==
          (item.key().starts_with("layer4") || item.key().starts_with("attnpool")));
}

TEST_CASE("A ResNet says what is wrong with its images", "[towers][cpu]") {
  ModifiedResNet resnet(test::small_resnet());
  CHECK(test::raises(
      [&] {
        static_cast<void>(resnet(torch::zeros({1, 3, 32, 32})));
      },
      {"[1, 3, 32, 32]", "[B, 3, 64, 64]"}));
  CHECK(test::raises(
      [] {
        ModifiedResNet(ModifiedResNetOptions{.layers = {1, 1, 1, 0}});
      },
      {"[1, 1, 1, 0]", "at least one block"}));
  CHECK(test::raises([] { ModifiedResNet(ModifiedResNetOptions{.image_size = 100}); },
                     {"image_size (100)", "multiple of 32"}));
}

TEST_CASE("Weights of a ResNet start as OpenCLIP's do", "[towers][cpu]") {
  torch::manual_seed(44);
  ModifiedResNet resnet(ModifiedResNetOptions{.layers = {1, 1, 1, 1}});
  const auto parameters = resnet->named_parameters();
  const double pool = 1 / std::sqrt(2048.0);
  for (const auto& [name, std] :
       std::map<std::string, double>{{"attnpool.q_proj.weight", pool},
                                     {"attnpool.c_proj.weight", pool},
                                     {"attnpool.positional_embedding", pool},
                                     {"layer1.0.conv2.weight", 1 / std::sqrt(3 * 9 * 64.0)},
                                     {"layer4.0.conv3.weight", 1 / std::sqrt(3 * 512.0)}}) {
    INFO(name);
    CHECK(parameters[name].std().item<double>() == Approx(std).epsilon(0.02));
  }
  CHECK(parameters["layer2.0.bn3.weight"].abs().max().item<double>() == 0.0);
  CHECK(parameters["bn3.weight"].min().item<double>() == 1.0);
  CHECK(parameters["layer1.0.downsample.1.weight"].min().item<double>() == 1.0);
}
