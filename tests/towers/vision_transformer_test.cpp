// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "support/catch.hpp"

#include "nn/raises.hpp"
#include "support/tolerance.hpp"
#include "towers/naive_transformer.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;

TEST_CASE("The class token alone equals the class token of the whole tower", "[towers][cpu]") {
  torch::manual_seed(20);
  VisionTransformer vit(test::small_vit(), at::dtype(at::kDouble));
  const auto images = torch::randn({3, 3, 32, 32}, at::dtype(at::kDouble));
  auto x = vit->conv1(images).view({3, 16, 24});
  x = torch::cat({vit->class_embedding.expand({3, 1, 24}), x}, 1) + vit->positional_embedding;
  x = vit->transformer(vit->ln_pre(x.flatten(0, 1)),
                       TokenGrid{.batch = 3, .rows = 4, .columns = 4, .prefix = 1});
  const auto expected = vit->ln_post(x).view({3, 17, 24}).select(1, 0).matmul(vit->proj);
  CHECK(test::close(vit(images), expected, 10));
}

TEST_CASE("Average pooling is the mean over normed patches", "[towers][cpu]") {
  torch::manual_seed(21);
  auto options = test::small_vit();
  options.pool = ImagePool::kAverage;
  for (const bool class_token : {true, false}) {
    options.class_token = class_token;
    VisionTransformer vit(options, at::dtype(at::kDouble));
    const auto images = torch::randn({2, 3, 32, 32}, at::dtype(at::kDouble));
    auto x = vit->conv1(images).view({2, 16, 24});
    if (class_token) x = torch::cat({vit->class_embedding.expand({2, 1, 24}), x}, 1);
    x = (x + vit->positional_embedding).flatten(0, 1);
    const TokenGrid grid{.batch = 2, .rows = 4, .columns = 4, .prefix = vit->prefix()};
    x = vit->ln_post(vit->transformer(vit->ln_pre(x), grid)).view({2, -1, 24});
    const auto expected = x.narrow(1, x.size(1) - 16, 16).mean(1).matmul(vit->proj);
    CHECK(test::close(vit(images), expected, 10));
  }
}

TEST_CASE("Patches are dropped while training and only then", "[towers][cpu]") {
  torch::manual_seed(22);
  auto options = test::small_vit();
  options.patch_dropout = 0.5;
  VisionTransformer vit(options);
  const auto images = torch::randn({2, 3, 32, 32});
  CHECK_FALSE(at::equal(vit(images), vit(images)));
  torch::manual_seed(23);
  const auto first = vit(images);
  torch::manual_seed(23);
  CHECK(at::equal(vit(images), first));  // a replayed generator drops the same patches
  vit->eval();
  CHECK(at::equal(vit(images), vit(images)));
}

TEST_CASE("The memory format of images does not matter", "[towers][cpu]") {
  torch::manual_seed(24);
  VisionTransformer vit(test::small_vit());
  const auto images = torch::randn({2, 3, 32, 32});
  CHECK(at::equal(vit(images.contiguous(at::MemoryFormat::ChannelsLast)), vit(images)));
}

TEST_CASE("A vision transformer says what is wrong with its images", "[towers][cpu]") {
  VisionTransformer vit(test::small_vit());
  CHECK(test::raises(
      [&] {
        static_cast<void>(vit(torch::zeros({2, 3, 48, 32})));
      },
      {"[2, 3, 48, 32]", "[B, 3, 32, 32]", "image_size"}));
  CHECK(test::raises(
      [&] {
        static_cast<void>(vit(torch::zeros({2, 3, 32, 32}, at::dtype(at::kByte))));
      },
      {"Byte", "normalize_images"}));
}

TEST_CASE("Options of a vision transformer that contradict each other are refused",
          "[towers][cpu]") {
  auto options = test::small_vit();
  options.class_token = false;
  CHECK(test::raises([&] { VisionTransformer{options}; }, {"kClassToken", "kAverage"}));
  options = test::small_vit();
  options.patch_dropout = 1.0;
  CHECK(test::raises([&] { VisionTransformer{options}; }, {"patch_dropout (1)"}));
}

TEST_CASE("Weights of a vision transformer start as OpenCLIP's do", "[towers][cpu]") {
  torch::manual_seed(25);
  VisionTransformer vit(VisionTransformerOptions{.width = 256, .layers = 1, .heads = 4});
  const auto std = [&](const std::string& name) {
    return vit->named_parameters()[name].std().item<double>();
  };
  const std::string block = "transformer.resblocks.0.";
  CHECK(std("positional_embedding") == Approx(1.0 / 16).epsilon(0.03));
  CHECK(std("proj") == Approx(1.0 / 16).epsilon(0.03));
  CHECK(std("class_embedding") == Approx(1.0 / 16).epsilon(0.2));
  CHECK(std(block + "attn.in_proj_weight") == Approx(std::sqrt(2.0 / 1024)).epsilon(0.02));
  // Uniform on +-1/sqrt(fan in) has deviation 1/sqrt(3 fan in).
  CHECK(std(block + "attn.out_proj.weight") == Approx(1 / std::sqrt(768.0)).epsilon(0.02));
  CHECK(std(block + "mlp.c_fc.weight") == Approx(1 / std::sqrt(768.0)).epsilon(0.02));
  CHECK(std(block + "mlp.c_proj.weight") == Approx(1 / std::sqrt(3072.0)).epsilon(0.02));
  CHECK(std("conv1.weight") == Approx(1 / std::sqrt(9216.0)).epsilon(0.02));
  CHECK(std(block + "attn.in_proj_bias") == 0.0);
  CHECK(std(block + "attn.out_proj.bias") == 0.0);
  CHECK(std(block + "ln_1.weight") == 0.0);
}

TEST_CASE("A vision transformer whose layers differ equals naive loops, for every pool",
          "[towers][cpu]") {
  torch::manual_seed(26);
  auto options = test::irregular_vit();
  for (const auto pool : {ImagePool::kClassToken, ImagePool::kAverage, ImagePool::kAttention})
    for (const bool no_heads_last : {false, true}) {
      INFO("pool " << static_cast<int>(pool) << ", no heads in the last layer " << no_heads_last);
      options.pool = pool;
      options.layer_heads.back() = no_heads_last ? 0 : 2;
      VisionTransformer vit(options, at::dtype(at::kDouble));
      test::randomize(*vit);
      const auto images = torch::randn({2, 3, 32, 32}, at::dtype(at::kDouble));
      auto x = vit->conv1(images).view({2, 16, 22});
      x = torch::cat({vit->class_embedding.expand({2, 1, 22}), x}, 1) + vit->positional_embedding;
      x = test::naive_norm(x, vit->ln_pre->weight, vit->ln_pre->bias);
      x = test::naive_blocks(x, *vit, 6, /*causal=*/false);
      x = test::naive_norm(x, vit->ln_post->weight, vit->ln_post->bias);
      if (pool == ImagePool::kClassToken) x = x.select(1, 0);
      if (pool == ImagePool::kAverage) x = x.narrow(1, 1, 16).mean(1);
      if (pool == ImagePool::kAttention)
        x = vit->attn_pool(x.flatten(0, 1), TokenGrid{.batch = 2, .columns = 17});
      const auto expected = x.matmul(vit->proj);
      CHECK(test::close(vit(images), expected, 10));

      const auto weights = torch::randn({2, 20}, at::dtype(at::kDouble));
      const auto gradients = [&](const at::Tensor& features) {
        return torch::autograd::grad({(features * weights).sum()}, vit->parameters(), {},
                                     /*retain_graph=*/true);
      };
      const auto oracle = gradients(expected), plain = gradients(vit(images));
      vit->checkpoint_activations(true);
      const auto replayed = gradients(vit(images));
      for (std::size_t i = 0; i < oracle.size(); ++i) {
        INFO(vit->named_parameters()[i].key());
        CHECK(test::close(plain[i], oracle[i], 1000));
        CHECK(at::equal(plain[i], replayed[i]));
      }
    }
}

TEST_CASE("The cost of layers that differ is the sum of theirs", "[towers][cpu]") {
  const VisionTransformer vit(test::irregular_vit(), at::device(at::kMeta));
  // 17 tokens of width 22; heads 1, 3, 0, 4, 2 of 6 numbers, hidden widths 9, 0, 30, 1, 13.
  const double attention = 60 * 17 * (4 * 22 + 2 * 17), mlp = 53 * 17 * 2 * 22;
  CHECK(vit->cost().macs == attention + mlp + 16 * 22 * 3 * 64 + 22 * 20);
  const double norms = (4 * 4 + 2) * 22;
  CHECK(vit->cost().kept_elements == 17 * (norms + 4 * 60 + 2 * 53));
}

TEST_CASE("Lists of layers of another length than the tower's are refused", "[towers][cpu]") {
  auto options = test::irregular_vit();
  options.layers = 3;
  CHECK(test::raises([&] { VisionTransformer{options}; },
                     {"VisionTransformer: layer_heads has 5 entries", "3 layers"}));
}
