// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/compress/measure_importance.hpp"

#include <cmath>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "contrapunto/compress/inherit_weights.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"
#include "towers/naive_transformer.hpp"
#include "towers/small_models.hpp"

using namespace contrapunto;

namespace {

ModelConfig irregular_config() {
  auto config = test::small_config("ViT-B-32");
  config.image = test::irregular_vit();
  config.text = test::irregular_text();
  return config;
}

/// The importance of the layers of `tower` for the residual stream `x` [B, L, width] before them,
/// by loops in float64. `pooled` are the rows of [B * L] that the MLP of the last layer sees.
UnitImportance naive_importance(at::Tensor x, const torch::nn::Module& tower, bool causal,
                                const at::Tensor& pooled, std::int64_t layers) {
  UnitImportance importance;
  const auto named = tower.named_parameters();
  const auto mean = [](const at::Tensor& rows) { return rows.abs().flatten(0, -2).mean(0); };
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    const auto get = [&](const std::string& name) {
      const auto* found = named.find("transformer.resblocks." + std::to_string(layer) + "." + name);
      return found ? found->detach().to(at::kDouble) : at::Tensor();
    };
    auto width = torch::zeros({x.size(2)}, at::kDouble);
    auto heads = torch::zeros({0}, at::kDouble);
    if (get("attn.in_proj_weight").defined()) {
      const auto y = test::naive_norm(x, get("ln_1.weight"), get("ln_1.bias"));
      const auto mixed =
          test::naive_heads(y, get("attn.in_proj_weight"), get("attn.in_proj_bias"), 6, causal);
      width += mean(y);
      heads = mean(mixed).view({-1, 6}).mean(1);
      x = x + mixed.matmul(get("attn.out_proj.weight").t()) + get("attn.out_proj.bias");
    }
    auto seen = x.flatten(0, 1);
    if (layer == layers - 1) seen = seen.index_select(0, pooled);
    const auto hidden_of = [&](const at::Tensor& rows) {
      const auto y = test::naive_norm(rows, get("ln_2.weight"), get("ln_2.bias"));
      const auto h = y.matmul(get("mlp.c_fc.weight").t()) + get("mlp.c_fc.bias");
      return 0.5 * h * (1.0 + torch::erf(h / std::sqrt(2.0)));
    };
    width += mean(test::naive_norm(seen, get("ln_2.weight"), get("ln_2.bias")));
    importance.width.push_back(width);
    importance.heads.push_back(heads);
    importance.hidden.push_back(mean(hidden_of(seen)));
    x = x + hidden_of(x).matmul(get("mlp.c_proj.weight").t()) + get("mlp.c_proj.bias");
  }
  return importance;
}

void compare(const UnitImportance& ours, const UnitImportance& naive) {
  REQUIRE(ours.width.size() == naive.width.size());
  for (std::size_t i = 0; i < naive.width.size(); ++i) {
    INFO("layer " << i);
    const auto near = [](const at::Tensor& a, const at::Tensor& b) {
      return a.sizes() == b.sizes() &&
             test::relative_error(a, b) < 20 * test::tolerance(at::kFloat);
    };
    CHECK(near(ours.width[i], naive.width[i]));
    CHECK(near(ours.heads[i], naive.heads[i]));
    CHECK(near(ours.hidden[i], naive.hidden[i]));
  }
}

}  // namespace

TEST_CASE("Mean activations of heads, hidden units and inputs equal loops", "[compress][cpu]") {
  torch::manual_seed(40);
  const torch::NoGradGuard no_grad;
  const auto config = irregular_config();
  auto model = make_dual_encoder(config);
  test::randomize(*model);
  const auto images = test::images(config, 3);
  const std::vector<std::int64_t> ends = {15, 4};
  const auto tokens = test::texts(ends);
  // In two parts, which count by their numbers of rows.
  const auto measured =
      measure_importance(config, open_clip_state(model, config), [&](DualEncoder& source) {
        static_cast<void>(source->encode_image(images.narrow(0, 0, 1)));
        static_cast<void>(source->encode_image(images.narrow(0, 1, 2)));
        static_cast<void>(source->encode_text(tokens));
      });

  auto& image = *model->visual();
  auto& text = *model->text();
  const auto parameter = [](const torch::nn::Module& tower, const char* name) {
    return tower.named_parameters()[name].to(at::kDouble);
  };
  auto x = torch::conv2d(images.to(at::kDouble), parameter(image, "conv1.weight"), {}, 8)
               .flatten(2)
               .transpose(1, 2);
  x = torch::cat({parameter(image, "class_embedding").expand({3, 1, 22}), x}, 1) +
      parameter(image, "positional_embedding");
  x = test::naive_norm(x, parameter(image, "ln_pre.weight"), parameter(image, "ln_pre.bias"));
  compare(measured.image, naive_importance(x, image, false, torch::arange(3) * 17, 5));
  x = parameter(text, "token_embedding.weight")
          .index_select(0, tokens.flatten())
          .view({2, 16, 20}) +
      parameter(text, "positional_embedding");
  compare(measured.text,
          naive_importance(x, text, true, torch::tensor({ends[0], 16 + ends[1]}), 3));
}

TEST_CASE("Units that are never active are left out, however large their weights are",
          "[compress][cpu]") {
  torch::manual_seed(41);
  const torch::NoGradGuard no_grad;
  const auto to = test::small_config("ViT-B-32");
  auto from = to;
  auto& vit = std::get<VisionTransformerOptions>(from.image);
  vit.mlp_ratio = from.text.mlp_ratio = 6.0;
  auto original = make_dual_encoder(to);
  auto source = open_clip_state(make_dual_encoder(from), from);
  for (const auto& [name, own] : open_clip_state(original, to)) {
    auto& tensor = source.at(name);
    if (tensor.sizes() == own.sizes()) {
      tensor = own.clone();
      continue;
    }
    // The units of the original come last, behind 48 whose bias keeps them at 0.
    const std::int64_t d = name.find("c_proj") != std::string::npos ? 1 : 0;
    const bool bias = name.ends_with("c_fc.bias");
    tensor = bias ? torch::full_like(tensor, -1000.0) : torch::randn_like(tensor) * 3.0;
    tensor.narrow(d, tensor.size(d) - own.size(d), own.size(d)).copy_(own);
  }
  const auto images = test::images(to, 4);
  const auto tokens = test::texts({3, 15, 7, 5});
  const auto measured = measure_importance(
      from, source, [&](DualEncoder& model) { static_cast<void>(model->forward(images, tokens)); });
  original->eval();
  const auto expected = original->forward(images, tokens);
  for (const auto rule : {UnitRule::kActivation, UnitRule::kMagnitude}) {
    auto model = make_dual_encoder(to);
    static_cast<void>(inherit_weights(
        model, to, source, from,
        {.units = rule, .image_importance = measured.image, .text_importance = measured.text}));
    model->eval();
    const auto e = model->forward(images, tokens);
    const bool same = test::close(e.x, expected.x, 4) && test::close(e.y, expected.y, 4);
    CHECK(same == (rule == UnitRule::kActivation));
  }
}

TEST_CASE("A tower that was not used, or is no transformer, has no importance", "[compress][cpu]") {
  const auto config = test::small_config("RN50");
  const auto measured = measure_importance(
      config, open_clip_state(make_dual_encoder(config), config), [&](DualEncoder& model) {
        CHECK_FALSE(model->is_training());
        static_cast<void>(model->encode_image(test::images(config, 1)));
      });
  CHECK(measured.image.width.empty());
  CHECK(measured.text.hidden.empty());
}
