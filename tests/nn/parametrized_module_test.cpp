// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/nn/parametrized_module.hpp"

#include <functional>

#include "contrapunto/nn/attention_pool.hpp"
#include "contrapunto/nn/attention_pool_2d.hpp"
#include "contrapunto/nn/convolution.hpp"
#include "contrapunto/nn/patch_embedding.hpp"
#include "contrapunto/nn/transformer.hpp"
#include "nn/raises.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;

namespace {

/// weight + b a, where b starts at zero.
struct LowRankImpl : torch::nn::Module {
  explicit LowRankImpl(const at::Tensor& weight, double first_b = 0.0) {
    const auto in = weight.numel() / weight.size(0);
    a = register_parameter("a", torch::randn({2, in}, weight.options()));
    b = register_parameter("b", torch::full({weight.size(0), 2}, first_b, weight.options()));
  }
  at::Tensor forward(const at::Tensor& weight) { return weight + b.mm(a).view(weight.sizes()); }
  at::Tensor a, b;
};
TORCH_MODULE(LowRank);

struct HalfImpl : torch::nn::Module {
  at::Tensor forward(const at::Tensor& weight) { return 0.5 * weight; }
};
TORCH_MODULE(Half);

struct FlatImpl : torch::nn::Module {
  at::Tensor forward(const at::Tensor& weight) { return weight.flatten(); }
};
TORCH_MODULE(Flat);

using Forward = std::function<at::Tensor()>;

/// Adds a low-rank part to every weight in `module`; returns how many there are.
int adapt(torch::nn::Module& module, double first_b) {
  int count = 0;
  module.apply([&](torch::nn::Module& part) {
    auto* layer = part.as<ParametrizedModule>();
    if (layer == nullptr) return;
    for (const auto& name : layer->weight_names()) {
      layer->parametrize(name, "low_rank", LowRank(layer->named_parameters()[name], first_b));
      ++count;
    }
  });
  return count;
}

void merge(torch::nn::Module& module) {
  module.apply([](torch::nn::Module& part) {
    if (auto* layer = part.as<ParametrizedModule>()) layer->merge_parametrizations_();
  });
}

/// A module with `weights` weights, whose output `forward` computes.
void check_reads_weights_in_one_place(torch::nn::Module& module, const Forward& forward,
                                      int weights) {
  const auto before = forward();
  const auto names = module.named_parameters().keys();
  std::vector<at::Tensor> base = module.parameters();
  for (auto& parameter : base) parameter.set_requires_grad(false);
  REQUIRE(adapt(module, 0.0) == weights);
  // A part that is zero changes no bit.
  CHECK(at::equal(forward(), before));
  at::manual_seed(3);
  for (const auto& item : module.named_parameters())
    if (item.key().ends_with("low_rank.b")) item.value().detach().normal_();
  const auto adapted = forward();
  CHECK_FALSE(test::close(adapted, before, 100));
  adapted.sum().backward();
  for (const auto& item : module.named_parameters()) {
    INFO(item.key());
    CHECK(item.value().grad().defined() == (item.key().find("low_rank") != std::string::npos));
  }
  merge(module);
  CHECK(test::close(forward(), adapted, 10));
  CHECK(module.named_parameters().keys() == names);
}

}  // namespace

TEST_CASE("Linear maps and convolutions read their weights in one place", "[nn][cpu]") {
  torch::manual_seed(80);
  Linear linear(LinearOptions{.in_features = 5, .out_features = 3}, at::kDouble);
  const auto x = torch::randn({4, 5}, at::kDouble);
  check_reads_weights_in_one_place(
      *linear, [&] { return linear(x); }, 1);

  Convolution convolution(3, 4, 3, 1, at::kDouble);
  const auto images = torch::randn({2, 3, 8, 8}, at::kDouble);
  check_reads_weights_in_one_place(
      *convolution, [&] { return convolution(images); }, 1);

  PatchEmbedding patches(4, 6, true, at::kDouble);
  check_reads_weights_in_one_place(
      *patches, [&] { return patches(images); }, 1);
}

TEST_CASE("Both paths of attention, and both pools, read their weights in one place", "[nn][cpu]") {
  torch::manual_seed(81);
  const TokenGrid grid{.batch = 2, .columns = 3};
  const auto x = torch::randn({6, 8}, at::kDouble);
  const auto rows = torch::tensor({2, 4}, at::kLong);
  const AttentionOptions options{.width = 8, .heads = 2, .causal = true};
  Attention whole(options, at::kDouble);
  check_reads_weights_in_one_place(
      *whole, [&] { return whole(x, grid); }, 2);
  Attention once(options, at::kDouble);
  check_reads_weights_in_one_place(
      *once, [&] { return once->forward_once(x, grid, rows); }, 2);
  AttentionPool pool(AttentionPoolOptions{.width = 8, .heads = 2, .hidden = 12}, at::kDouble);
  check_reads_weights_in_one_place(
      *pool, [&] { return pool(x, grid); }, 5);
  AttentionPool2d pool_2d(
      AttentionPool2dOptions{.grid = 2, .width = 8, .heads = 2, .output_dim = 6}, at::kDouble);
  const auto map = torch::randn({2, 8, 2, 2}, at::kDouble);
  check_reads_weights_in_one_place(
      *pool_2d, [&] { return pool_2d(map); }, 4);
}

TEST_CASE("Parametrized weights train under checkpoints as without", "[nn][cpu]") {
  torch::manual_seed(82);
  const ResidualAttentionBlockOptions options{.attention = {.width = 8, .heads = 2},
                                              .mlp = {.width = 8, .hidden = 12}};
  Transformer model(2, options);
  adapt(*model, 0.1);
  const auto x = torch::randn({6, 8});
  const auto gradients = [&](bool checkpoint) {
    model->checkpoint_activations(checkpoint);
    return torch::autograd::grad(
        {model->forward_once(x, {.batch = 2, .columns = 3}, torch::tensor({1, 3}, at::kLong))
             .square()
             .sum()},
        model->parameters());
  };
  const auto plain = gradients(false);
  const auto again = gradients(true);
  for (std::size_t i = 0; i < plain.size(); ++i) CHECK(at::equal(plain[i], again[i]));
}

TEST_CASE("Parametrizations of one weight follow each other", "[nn][cpu]") {
  torch::manual_seed(83);
  Linear linear(LinearOptions{.in_features = 5, .out_features = 3});
  const LowRank low_rank(linear->weight, 0.3);
  linear->parametrize("weight", "low_rank", low_rank);
  linear->parametrize("weight", "half", Half());
  const auto expected = 0.5 * (linear->weight + low_rank->b.mm(low_rank->a));
  CHECK(test::close(linear->effective_weight(linear->weight), expected));
  CHECK(at::equal(linear->effective_weight(linear->bias), linear->bias));
  linear->to(at::kBFloat16);
  CHECK(linear(torch::ones({1, 5}, at::kBFloat16)).scalar_type() == at::kBFloat16);
}

TEST_CASE("Invalid parametrizations are refused with names and shapes", "[nn][cpu]") {
  Linear linear(LinearOptions{.in_features = 5, .out_features = 3});
  CHECK(test::raises([&] { linear->parametrize("wieght", "half", Half()); },
                     {"LinearImpl", "'wieght'", "there are: weight"}));
  linear->parametrize("weight", "flat", Flat());
  CHECK(test::raises(
      [&] {
        static_cast<void>(linear(torch::ones({1, 5})));
      },
      {"'weight' [3, 5]", "[15]"}));
}
