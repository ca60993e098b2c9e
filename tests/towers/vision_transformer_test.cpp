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
  const double inputs = (4 * 2 + 1) * 22;
  CHECK(vit->cost().kept_elements == 17 * (inputs + 4 * 60 + 53));
}

TEST_CASE("Lists of layers of another length than the tower's are refused", "[towers][cpu]") {
  auto options = test::irregular_vit();
  options.layers = 3;
  CHECK(test::raises([&] { VisionTransformer{options}; },
                     {"VisionTransformer: layer_heads has 5 entries", "3 layers"}));
}

TEST_CASE("Registers, positions without prefix, and fixed positions enter as written out",
          "[towers][cpu]") {
  torch::manual_seed(40);
  for (const auto positions :
       {ImagePositions::kLearned, ImagePositions::kSinCos, ImagePositions::kNone})
    for (const bool prefix_positions : {false, true}) {
      auto options = test::small_vit();
      options.registers = 2;
      options.positions = positions;
      options.prefix_positions = prefix_positions;
      VisionTransformer vit(options, at::dtype(at::kDouble));
      CHECK(vit->prefix() == 3);
      const auto images = torch::randn({2, 3, 32, 32}, at::kDouble);
      auto patches = vit->conv1(images).view({2, 16, 24});
      if (positions == ImagePositions::kLearned && !prefix_positions)
        patches = patches + vit->positional_embedding;
      if (positions == ImagePositions::kSinCos) {
        // Sines and cosines of the column, then of the row; 6 rates from 1 to 1 / 10000.
        auto fixed = torch::zeros({16, 24}, at::kDouble);
        for (std::int64_t cell = 0; cell < 16; ++cell)
          for (std::int64_t i = 0; i < 6; ++i) {
            const double rate = std::pow(10'000.0, -static_cast<double>(i) / 5.0);
            const double row = static_cast<double>(cell / 4) * rate,
                         column = static_cast<double>(cell % 4) * rate;
            fixed[cell][i] = std::sin(column), fixed[cell][6 + i] = std::cos(column);
            fixed[cell][12 + i] = std::sin(row), fixed[cell][18 + i] = std::cos(row);
          }
        // The tower computes them in float32.
        CHECK(test::relative_error(sincos_positions(4, 4, 24), fixed) < 1e-6);
        patches = patches + sincos_positions(4, 4, 24).to(at::kDouble);
      }
      auto x = torch::cat({vit->class_embedding.expand({2, 1, 24}),
                           vit->register_tokens.expand({2, 2, 24}), patches},
                          1);
      if (positions == ImagePositions::kLearned && prefix_positions)
        x = x + vit->positional_embedding;
      const TokenGrid grid{.batch = 2, .rows = 4, .columns = 4, .prefix = 3};
      x = vit->ln_post(vit->transformer(vit->ln_pre(x.flatten(0, 1)), grid));
      CHECK(test::close(vit(images), x.view({2, 19, 24}).select(1, 0).matmul(vit->proj), 10));
    }
}

TEST_CASE("A plan of attention is repeated over the layers, and rates of drop path grow",
          "[towers][cpu]") {
  auto options = test::small_vit();
  options.layers = 5;
  options.attention = parse_attention_plan("window2, shifted2, global");
  options.relative_bias = RelativeBiasKind::kTable;
  VisionTransformer vit(options);
  std::vector<AttentionKind> kinds;
  for (auto& block : vit->transformer->resblocks)
    kinds.push_back(block->attn->as<AttentionImpl>()->options().kind);
  CHECK(attention_plan_text(kinds) == "window2, shifted2, global, window2, shifted2");
  const auto named = vit->named_parameters();
  const std::string table = ".attn.relative_bias.table";
  // Windows of 2 x 2 and a plane of 4 x 4, and three numbers of the class token.
  CHECK(named["transformer.resblocks.0" + table].size(0) == 9 + 3);
  CHECK(named["transformer.resblocks.2" + table].size(0) == 49 + 3);
}

TEST_CASE("A stem of convolutions and the sequence pool equal their formulas", "[towers][cpu]") {
  torch::manual_seed(41);
  auto options = test::small_vit();
  options.stem = ImageStem::kConvolutions;
  options.stem_channels = 8;
  options.class_token = false;
  options.pool = ImagePool::kSequence;
  VisionTransformer vit(options, at::dtype(at::kDouble));
  CHECK(options.grid() == 8);
  const auto images = torch::randn({2, 3, 32, 32}, at::kDouble);
  auto map = images;
  for (const auto& conv : vit->stem->convs)
    map = torch::max_pool2d(torch::relu(torch::conv2d(map, conv->weight, {}, 1, 1)), 3, 2, 1);
  auto x = map.flatten(2).transpose(1, 2) + vit->positional_embedding;
  const TokenGrid grid{.batch = 2, .rows = 8, .columns = 8};
  x = vit->ln_post(vit->transformer(vit->ln_pre(x.flatten(0, 1)), grid)).view({2, 64, 24});
  const auto scores = x.matmul(vit->seq_pool->score->weight.t()) + vit->seq_pool->score->bias;
  const auto pooled = (x * scores.softmax(1)).sum(1);
  CHECK(test::close(vit(images), pooled.matmul(vit->proj), 10));
  CHECK(vit->cost().macs == Approx(vit->transformer->cost(TokenGrid{.rows = 8, .columns = 8}).macs +
                                   32 * 32 * 9 * 3 * 8 + 16 * 16 * 9 * 8 * 24 +
                                   24.0 * static_cast<double>(options.output_dim)));
}

TEST_CASE("One call fits a tower to images of another size", "[towers][cpu]") {
  torch::manual_seed(42);
  auto options = test::small_vit();
  options.relative_bias = RelativeBiasKind::kTable;
  options.attention = parse_attention_plan("global, window3, global");
  VisionTransformer vit(options);
  const auto before = vit->positional_embedding.detach().clone();
  const auto table =
      vit->named_parameters()["transformer.resblocks.0.attn.relative_bias.table"].detach().clone();
  vit->resize_images(48);
  CHECK(vit->options().image_size == 48);
  CHECK(at::equal(vit->positional_embedding, resize_grid_positions(before, 1, 6)));
  const auto resized = vit->named_parameters()["transformer.resblocks.0.attn.relative_bias.table"];
  CHECK(resized.size(0) == 11 * 11 + 3);
  CHECK(at::equal(resized.narrow(0, 121, 3), table.narrow(0, 49, 3)));
  CHECK(vit(torch::randn({1, 3, 48, 48})).isfinite().all().item<bool>());
  vit(torch::randn({1, 3, 48, 48})).sum().backward();
  CHECK(vit->positional_embedding.grad().sizes() == vit->positional_embedding.sizes());
  vit->resize_images(48);  // The same size changes nothing.
  CHECK(
      resized.is_same(vit->named_parameters()["transformer.resblocks.0.attn.relative_bias.table"]));
  CHECK(test::raises([&] { vit->resize_images(4); }, {"image_size (4)", "patch_size (8)"}));
}

TEST_CASE("A tower takes images of another size with the same parameters", "[towers][cpu]") {
  torch::manual_seed(43);
  const auto bias_table = [](auto& options) { options.relative_bias = RelativeBiasKind::kTable; };
  const auto windows = [](auto& options) {
    options.relative_bias = RelativeBiasKind::kTable;
    options.attention = parse_attention_plan("window3, global, shifted3");
  };
  const auto continuous = [](auto& options) {
    options.relative_bias = RelativeBiasKind::kContinuous;
  };
  const auto rotary = [](auto& options) {
    options.head_width = 12;
    options.rotary.kind = RotaryKind::kAxial;
    options.positions = ImagePositions::kNone;
  };
  const auto sincos = [](auto& options) {
    options.positions = ImagePositions::kSinCos;
    options.class_token = false;
    options.pool = ImagePool::kAverage;
  };
  const auto convolutions = [](auto& options) { options.stem = ImageStem::kConvolutions; };
  const auto nothing = [](auto&) {};
  const auto check = [&](const char* what, auto change, bool has_table) {
    CAPTURE(what);
    auto options = test::small_vit();
    change(options);
    VisionTransformer vit(options);
    const auto images = torch::randn({2, 3, 48, 48});
    const auto full = torch::randn({2, 3, 32, 32});
    const auto full_features = vit(full);
    // The oracle has the same weights, resized once.
    VisionTransformer resized(options);
    {
      const at::NoGradGuard no_grad;
      const auto weights = vit->named_parameters();
      for (auto& item : resized->named_parameters()) item.value().copy_(weights[item.key()]);
    }
    resized->resize_images(48);
    CHECK(vit->accept_images(48) == 32);
    CHECK(vit->options().image_size == 32);
    CHECK(vit->cost().macs == resized->cost().macs);
    const auto features = vit(images);
    CHECK(test::close(features, resized(images)));
    features.sum().backward();
    for (const auto& item : vit->named_parameters()) {
      CAPTURE(item.key());
      CHECK(item.value().grad().sizes() == item.value().sizes());
      if (has_table && item.key().ends_with("table"))
        CHECK(item.value().grad().abs().sum().template item<double>() > 0.0);
    }
    CHECK(test::raises([&] { static_cast<void>(vit(full)); }, {"[B, 3, 48, 48]"}));
    CHECK(vit->accept_images(32) == 48);
    CHECK(at::equal(vit(full), full_features));
  };
  check("learned", nothing, false);
  check("table", bias_table, true);
  check("windows", windows, true);
  check("continuous", continuous, false);
  check("rotary", rotary, false);
  check("sincos", sincos, false);
  check("convolutions", convolutions, false);
  CHECK(test::raises([] { VisionTransformer(test::small_vit())->accept_images(4); },
                     {"image_size (4)", "patch_size (8)"}));
}

TEST_CASE("Dropped patches and positions of the plane are refused together", "[towers][cpu]") {
  auto options = test::small_vit();
  options.patch_dropout = 0.5;
  options.attention = parse_attention_plan("window2");
  CHECK(test::raises([&] { VisionTransformer{options}; }, {"patch_dropout leaves no plane"}));
  options.attention = parse_attention_plan("linear");
  CHECK_NOTHROW(VisionTransformer(options));
  options.rotary.kind = RotaryKind::kAxial;
  CHECK(test::raises([&] { VisionTransformer{options}; }, {"patch_dropout leaves no plane"}));
}
