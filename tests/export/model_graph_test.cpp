// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/export/model_graph.hpp"

#include "contrapunto/export/run_graph.hpp"
#include "contrapunto/kernels/normalize_images.hpp"
#include "contrapunto/nn/attention_kind.hpp"
#include "contrapunto/towers/make_dual_encoder.hpp"
#include "contrapunto/towers/make_image_tower.hpp"
#include "nn/raises.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"
#include "towers/naive_transformer.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;

namespace {

// Rounding of a few hundred operations in another order, in units of the table for float32.
constexpr double kOrders = 20.0;

ModelConfig image_config(const VisionTransformerOptions& options) {
  ModelConfig config;
  config.image = options;
  config.image_only = true;
  config.embed_dim = options.output_dim;
  return config;
}

/// Whether the graph of an image tower gives the features of the tower, for 1 and 3 images.
bool describes(const VisionTransformerOptions& options) {
  const at::NoGradGuard no_grad;
  const auto config = image_config(options);
  const auto tower = make_image_tower(config);
  test::randomize(*tower);
  tower->eval();
  const auto graph = image_graph(tower, config, {.normalize = false});
  bool good = true;
  for (const auto batch : {1, 3}) {
    const auto images = at::randn({batch, 3, options.image_size, options.image_size});
    const auto results = run_graph(graph, {{"images", images}});
    const auto expected = tower(images);
    good = good && test::close(results.at("image_features"), expected, kOrders) &&
           expected.abs().max().item<double>() > 0.01;
  }
  return good;
}

VisionTransformerOptions small_vit() {
  return {
      .image_size = 20, .patch_size = 4, .width = 32, .layers = 3, .heads = 2, .output_dim = 24};
}

}  // namespace

TEST_CASE("The graph of a vision transformer computes its features", "[export][cpu]") {
  torch::manual_seed(7);
  auto o = small_vit();
  CHECK(describes(o));
  SECTION("pools") {
    for (const auto pool : {ImagePool::kAverage, ImagePool::kAttention, ImagePool::kSequence})
      for (const bool after : {false, true}) {
        CAPTURE(static_cast<int>(pool), after);
        o.pool = pool;
        o.norm_after_pool = after;
        CHECK(describes(o));
      }
    o.class_token = false;
    CHECK(describes(o));
  }
  SECTION("positions and tokens") {
    o.registers = 3;
    CHECK(describes(o));
    o.prefix_positions = false;
    CHECK(describes(o));
    o.positions = ImagePositions::kSinCos;
    CHECK(describes(o));
    o.positions = ImagePositions::kNone;
    CHECK(describes(o));
    for (const auto kind : {RotaryKind::kAxial, RotaryKind::kMixed}) {
      o.rotary = {.kind = kind, .temperature = 10.0};
      CHECK(describes(o));
    }
    o.rotary = {};
    for (const auto kind : {RelativeBiasKind::kTable, RelativeBiasKind::kContinuous}) {
      o.relative_bias = kind;
      CHECK(describes(o));
    }
  }
  SECTION("stems") {
    o.image_size = 22;  // Not a multiple of the patch.
    CHECK(describes(o));
    o.stem = ImageStem::kConvolutions;
    o.stem_channels = 8;
    CHECK(describes(o));
  }
  SECTION("blocks") {
    for (const auto order : {BlockOrder::kParallel, BlockOrder::kNormedStream}) {
      o.block_order = order;
      CHECK(describes(o));
    }
    o.block_order = BlockOrder::kSequential;
    o.activation = Activation::kQuickGelu;
    o.layer_scale = 0.3;
    o.qk_norm = o.attention_norm = true;
    CHECK(describes(o));
    o.mlp = MlpKind::kSwiGlu;
    for (const bool norm : {false, true}) {
      o.mlp_norm = norm;
      CHECK(describes(o));
    }
    for (const auto bias : {AttentionBias::kNoKeys, AttentionBias::kNone}) {
      o.qkv_bias = bias;
      CHECK(describes(o));
    }
    o.pre_norm = false;
    o.patch_bias = true;
    o.projection_bias = true;
    CHECK(describes(o));
    o.projection = false;
    o.output_dim = o.width;
    CHECK(describes(o));
  }
  SECTION("layers without heads or hidden units") {
    o.layer_heads = {2, 0, 1};
    o.layer_hidden = {16, 24, 0};
    CHECK(describes(o));
    o.layer_heads = {1, 2, 0};
    CHECK(describes(o));
  }
}

TEST_CASE("The graph of each kind of attention computes its features", "[export][cpu]") {
  torch::manual_seed(8);
  auto o = small_vit();  // 5 x 5 patches, which no window but the largest divides.
  for (const char* plan : {"window2, shifted2", "window3, shifted3, global", "window9", "linear",
                           "focused, shifted2", "linear, focused"}) {
    CAPTURE(plan);
    o.attention = parse_attention_plan(plan);
    o.relative_bias = RelativeBiasKind::kNone;
    for (const auto pool : {ImagePool::kClassToken, ImagePool::kAverage}) {
      o.pool = pool;
      o.class_token = pool == ImagePool::kClassToken;
      o.registers = 0;
      CHECK(describes(o));
      o.registers = 2;
      CHECK(describes(o));
      o.rotary = {.kind = RotaryKind::kAxial};
      CHECK(describes(o));
      o.rotary = {};
      if (o.attention.front().pattern != AttentionPattern::kWindow) continue;
      o.relative_bias = RelativeBiasKind::kTable;
      CHECK(describes(o));
      o.relative_bias = RelativeBiasKind::kNone;
    }
  }
}

TEST_CASE("Graphs of two towers compute features and similarities", "[export][cpu]") {
  const at::NoGradGuard no_grad;
  torch::manual_seed(9);
  for (const char* name : {"ViT-B-32", "ViT-B-32-quickgelu", "ViT-B-16-SigLIP", "RN50"}) {
    CAPTURE(name);
    const auto config = test::small_config(name);
    auto model = make_dual_encoder(config);
    test::randomize(*model);
    // Running statistics that fit, so that features of a ResNet depend on the image.
    model->train();
    for (int i = 0; i < 30; ++i) static_cast<void>(model->encode_image(test::images(config, 8)));
    model->logit_scale.fill_(2.0);
    model->eval();
    const auto images = test::images(config, 3);
    auto texts =
        at::randint(config.text.vocab_size - 1, {2, config.text.context_length}, at::kLong);
    texts[0][3] = texts[1][config.text.context_length - 1] = config.text.vocab_size - 1;

    const auto graph = model_graph(*model, config, ModelGraphPart::kBoth);
    const auto results = run_graph(graph, {{"images", images}, {"texts", texts}});
    const auto x = model->encode_image(images), y = model->encode_text(texts);
    CHECK((x[0] - x[1]).norm().item<double>() > 0.01);
    CHECK(test::close(results.at("image_features"), x, kOrders));
    CHECK(test::close(results.at("text_features"), y, kOrders));
    auto logits = model->scale() * x.matmul(y.t());
    if (model->logit_bias.defined()) logits = logits + model->logit_bias;
    CHECK(test::close(results.at("similarity"), logits, kOrders));

    const auto text =
        run_graph(model_graph(*model, config, ModelGraphPart::kText, {.normalize = false}),
                  {{"texts", texts}});
    CHECK(text.size() == 1);
    CHECK(test::close(text.at("text_features"), model->text()(texts), kOrders));

    const auto bytes =
        at::randint(256, {2, config.image_size(), config.image_size(), 3}, at::kByte);
    const auto raw =
        run_graph(model_graph(*model, config, ModelGraphPart::kImage, {.raw_images = true}),
                  {{"images", bytes}});
    const auto normalized = normalize_images(bytes.permute({0, 3, 1, 2}).contiguous(),
                                             config.image_mean, config.image_std);
    CHECK(test::close(raw.at("image_features"), model->encode_image(normalized), kOrders));

    // Weights of 16 bits are as near as their rounding.
    for (const auto dtype : {at::kHalf, at::kBFloat16}) {
      const auto small =
          run_graph(model_graph(*model, config, ModelGraphPart::kImage, {.weight_dtype = dtype}),
                    {{"images", images}});
      CHECK(small.at("image_features").scalar_type() == at::kFloat);
      const auto error = test::relative_error(small.at("image_features"), x);
      CHECK(error <= 10 * test::tolerance(dtype));
      CHECK(error > 0.0);
    }
  }
}

TEST_CASE("Graphs are refused for what has no description", "[export][cpu]") {
  struct OtherImpl : VisionTransformerImpl {
    using VisionTransformerImpl::VisionTransformerImpl;
  };
  const auto o = small_vit();
  const auto config = image_config(o);
  const AnyTower other(torch::nn::ModuleHolder<OtherImpl>(std::make_shared<OtherImpl>(o)));
  CHECK(test::raises([&] { static_cast<void>(image_graph(other, config)); },
                     {"OtherImpl", "GraphBuilder"}));
  VisionTransformer masked(o);
  masked->transformer->resblocks[0]->ln_1->mask_units(at::ones({o.width}));
  CHECK(test::raises([&] { static_cast<void>(image_graph(masked, config)); }, {"mask"}));
  CHECK(test::raises([] { GraphBuilder g(at::kDouble); }, {"Double", "float16"}));

  GraphBuilder g;
  const auto x = g.input("x", at::kFloat, {-1, 4});
  CHECK(test::raises([&] { g.matmul(x, g.weight("w", at::ones({3, 4}))); }, {"[-1, 4]", "[3, 4]"}));
  CHECK(test::raises([&] { g.reshape(x, {-1, 5}); }, {"-1"}));
  CHECK(test::raises([&] { g.slice(x, 1, 2, 5); }, {"2", "5"}));
  CHECK(test::raises([&] { g.input("x", at::kFloat, {1}); }, {"'x'"}));
  g.output("y", g.relu(x));
  CHECK(test::raises([&] { static_cast<void>(run_graph(g.graph(), {})); }, {"'x'", "missing"}));
  CHECK(test::raises(
      [&] {
        static_cast<void>(run_graph(g.graph(), {{"x", at::ones({2, 5})}}));
      },
      {"'x'", "[2, 5]"}));
}
