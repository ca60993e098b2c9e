// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "support/catch.hpp"

#include "nn/raises.hpp"
#include "support/tolerance.hpp"
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
