// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "support/catch.hpp"

#include <ATen/autocast_mode.h>

#include "contrapunto/nn/transformer.hpp"
#include "nn/raises.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;

namespace {

constexpr std::int64_t kBatch = 3, kLength = 7, kWidth = 12, kHeads = 3;
constexpr TokenGrid kGrid{.batch = kBatch, .columns = kLength};

/// Attention in loops over sequences, heads of `head` numbers and queries.
at::Tensor naive(const at::Tensor& x, const Attention& attn, bool causal,
                 std::int64_t head = kWidth / kHeads) {
  const auto qkv = x.mm(attn->in_proj_weight.t()) + attn->in_proj_bias;
  const auto inner = attn->in_proj_weight.size(0) / 3;
  auto mixed = torch::zeros({kBatch * kLength, inner}, x.options());
  for (std::int64_t b = 0; b < kBatch; ++b)
    for (std::int64_t h = 0; h < inner / head; ++h)
      for (std::int64_t i = 0; i < kLength; ++i) {
        const auto part = [&](std::int64_t which, std::int64_t rows) {
          return qkv.narrow(0, b * kLength, rows).narrow(1, which * inner + h * head, head);
        };
        const auto seen = causal ? i + 1 : kLength;
        const auto q = part(0, kLength)[i];
        const auto weights =
            torch::softmax(part(1, seen).mv(q) / std::sqrt(static_cast<double>(head)), 0);
        mixed[b * kLength + i].narrow(0, h * head, head).copy_(part(2, seen).t().mv(weights));
      }
  return mixed.mm(attn->out_proj->weight.t()) + attn->out_proj->bias;
}

at::Tensor tokens() {
  return torch::randn({kBatch * kLength, kWidth}, at::dtype(at::kDouble));
}

ResidualAttentionBlockOptions options(bool causal) {
  return {.attention = {.width = kWidth, .heads = kHeads, .causal = causal},
          .mlp = {.width = kWidth, .hidden = 20}};
}

/// Adds to each token of the plane the mean of its row, with one learned weight.
struct RowMeanImpl : torch::nn::Module {
  RowMeanImpl() { weight = register_parameter("weight", torch::full({1}, 0.5, at::kDouble)); }
  at::Tensor forward(const at::Tensor& x, const TokenGrid& grid) {
    seen = grid;
    const auto tokens = x.view({grid.batch, grid.length(), -1});
    const auto plane = tokens.narrow(1, grid.prefix, grid.rows * grid.columns)
                           .view({grid.batch, grid.rows, grid.columns, -1});
    const auto mixed = plane.mean(2, /*keepdim=*/true).expand_as(plane).flatten(1, 2);
    return (weight * torch::cat({tokens.narrow(1, 0, grid.prefix), mixed}, 1)).flatten(0, 1);
  }
  at::Tensor weight;
  TokenGrid seen;
};
TORCH_MODULE(RowMean);

/// One matrix and no activation, which reports what it costs.
struct OneMatrixImpl : torch::nn::Module {
  OneMatrixImpl() {
    weight = register_parameter("weight", torch::randn({kWidth, kWidth}, at::kDouble));
  }
  at::Tensor forward(const at::Tensor& x) { return x.mm(weight); }
  ForwardCost cost(const TokenGrid& grid) const {
    return {1000.0 * static_cast<double>(grid.length()), 7.0};
  }
  at::Tensor weight;
};
TORCH_MODULE(OneMatrix);

}  // namespace

TEST_CASE("Attention equals loops over sequences, heads and queries", "[nn][cpu]") {
  torch::manual_seed(6);
  const at::NoGradGuard no_grad;
  for (const bool causal : {false, true}) {
    Attention attn(AttentionOptions{.width = kWidth, .heads = kHeads, .causal = causal},
                   at::dtype(at::kDouble));
    attn->in_proj_bias.normal_();
    const auto x = tokens();
    CHECK(test::close(attn(x, kGrid), naive(x, attn, causal), 10));
  }
}

TEST_CASE("Heads that are together narrower or wider than the tokens equal the loops too",
          "[nn][cpu]") {
  torch::manual_seed(12);
  const auto rows = torch::arange(kBatch) * kLength + torch::tensor({2, 6, 0}, at::kLong);
  for (const std::int64_t heads : {1, 5})
    for (const bool causal : {false, true}) {
      Attention attn(
          AttentionOptions{.width = kWidth, .heads = heads, .head_width = 3, .causal = causal},
          at::dtype(at::kDouble));
      torch::nn::init::normal_(attn->in_proj_bias);
      CHECK(attn->in_proj_weight.sizes() == at::IntArrayRef({9 * heads, kWidth}));
      CHECK(attn->in_proj_bias.sizes() == at::IntArrayRef({9 * heads}));
      CHECK(attn->out_proj->weight.sizes() == at::IntArrayRef({kWidth, 3 * heads}));
      const auto x = tokens().requires_grad_();
      const auto weights = torch::randn({kBatch * kLength, kWidth}, at::dtype(at::kDouble));
      const auto expected = naive(x, attn, causal, 3);
      const auto result = attn(x, kGrid), once = attn->forward_once(x, kGrid, rows);
      CHECK(test::close(result, expected, 10));
      CHECK(test::close(once, expected.index_select(0, rows), 10));
      auto inputs = attn->parameters();
      inputs.push_back(x);
      const auto check = [&](const at::Tensor& ours, const at::Tensor& theirs,
                             const at::Tensor& factors) {
        const auto gradients = torch::autograd::grad({(ours * factors).sum()}, inputs);
        const auto oracle = torch::autograd::grad({(theirs * factors).sum()}, inputs, {},
                                                  /*retain_graph=*/true);
        for (std::size_t i = 0; i < oracle.size(); ++i)
          CHECK(test::close(gradients[i], oracle[i], 100));
      };
      check(result, expected, weights);
      check(once, expected.index_select(0, rows), weights.narrow(0, 0, kBatch));
      // Per token four projections of [3 heads, width] and two products with 7 tokens.
      CHECK(attn->cost(kGrid).macs ==
            static_cast<double>(21 * (4 * 12 * 3 * heads + 2 * 7 * 3 * heads)));
      CHECK(attn->cost(kGrid).kept_elements == static_cast<double>(21 * 4 * 3 * heads));
    }
}

TEST_CASE("The weights of heads start with the spread of their own shapes", "[nn][cpu]") {
  torch::manual_seed(13);
  Attention attn(AttentionOptions{.width = 200, .heads = 3, .head_width = 20});
  // Uniform on +-b has deviation b / sqrt(3); Xavier's b is sqrt(6 / (180 + 200)).
  CHECK(attn->in_proj_weight.std().item<double>() == Approx(std::sqrt(2.0 / 380)).epsilon(0.02));
  CHECK(attn->out_proj->weight.std().item<double>() == Approx(1 / std::sqrt(180.0)).epsilon(0.02));
}

TEST_CASE("A block without heads is its MLP, and one without hidden units adds a bias",
          "[nn][cpu]") {
  torch::manual_seed(14);
  auto without = options(/*causal=*/false);
  without.attention.heads = 0;
  ResidualAttentionBlock block(without, at::dtype(at::kDouble));
  CHECK(block->named_parameters().size() == 6);
  CHECK(block->named_parameters().contains("ln_2.weight"));
  const auto x = tokens();
  CHECK(test::close(block(x, kGrid), x + block->mlp(block->ln_2(x)), 10));
  const auto rows = torch::tensor({1, 8, 20}, at::kLong);
  CHECK(
      test::close(block->forward_once(x, kGrid, rows), block(x, kGrid).index_select(0, rows), 10));
  CHECK(block->cost(kGrid).macs == 21 * 2 * kWidth * 20);
  CHECK(block->cost(kGrid).kept_elements == 21 * (kWidth + 20));

  without.mlp.hidden = 0;
  ResidualAttentionBlock bias(without, at::dtype(at::kDouble));
  CHECK(bias->named_parameters()["mlp.c_proj.weight"].sizes() == at::IntArrayRef({kWidth, 0}));
  const auto added = bias->named_parameters()["mlp.c_proj.bias"];
  CHECK(added.isfinite().all().item<bool>());
  added.detach().normal_();
  CHECK(test::close(bias(x, kGrid), x + added, 10));
  const auto input = x.clone().requires_grad_();
  bias(input, kGrid).sum().backward();
  CHECK(test::close(added.grad(), torch::full({kWidth}, 21.0, at::kDouble), 10));
  CHECK(test::close(input.grad(), torch::ones_like(x), 10));
}

TEST_CASE("A part for a layer without heads is not asked for", "[nn][cpu]") {
  std::vector<std::int64_t> asked;
  const BlockParts parts{.attention = [&](std::int64_t layer, const AttentionOptions&,
                                          const at::TensorOptions&) -> AnyAttention {
    asked.push_back(layer);
    return {};
  }};
  Transformer model(contrapunto::detail::layer_blocks("Test", 3, options(false), {1, 0, 2}, {}),
                    at::TensorOptions(), parts);
  CHECK(asked == std::vector<std::int64_t>{0, 2});
  CHECK(model->resblocks[2]->named_parameters()["attn.out_proj.weight"].size(1) == 8);
  CHECK_FALSE(model->resblocks[1]->attn);
}

TEST_CASE("Lists of layers that do not fit are refused with the tower and the list", "[nn][cpu]") {
  const auto make = [](const std::vector<std::int64_t>& heads,
                       const std::vector<std::int64_t>& hidden) {
    static_cast<void>(contrapunto::detail::layer_blocks("Test", 2, options(false), heads, hidden));
  };
  CHECK(test::raises(
      [&] {
        make({1, 2, 3}, {});
      },
      {"Test: layer_heads has 3 entries", "2 layers"}));
  CHECK(test::raises([&] { make({}, {4}); }, {"Test: layer_hidden has 1 entries"}));
  CHECK(test::raises([&] { make({1, -1}, {}); }, {"layer_heads ([1, -1])", "negative"}));
  CHECK(test::raises(
      [] {
        auto odd = options(false);
        odd.attention.heads = 5;
        static_cast<void>(contrapunto::detail::layer_blocks("Test", 1, odd, {1}, {}));
      },
      {"width (12)", "heads (5)", "head_width"}));
}

TEST_CASE("Heads that do not divide the width are refused with both numbers", "[nn][cpu]") {
  CHECK(test::raises([] { Attention(AttentionOptions{.width = 10, .heads = 4}); },
                     {"width (10)", "heads (4)"}));
}

TEST_CASE("A transformer that computes one row per sequence equals the rows of the whole one",
          "[nn][cpu]") {
  torch::manual_seed(7);
  const auto rows = torch::arange(kBatch) * kLength + torch::tensor({2, 6, 0}, at::kLong);
  for (const bool causal : {false, true}) {
    Transformer model(2, options(causal), at::dtype(at::kDouble));
    const auto x = tokens().requires_grad_();
    const auto weights = torch::randn({kBatch, kWidth}, at::dtype(at::kDouble));
    const auto gradients = [&](const at::Tensor& y) {
      auto inputs = model->parameters();
      inputs.push_back(x);
      return torch::autograd::grad({(y * weights).sum()}, inputs);
    };
    const auto whole = model(x, kGrid).index_select(0, rows);
    const auto once = model->forward_once(x, kGrid, rows);
    CHECK(test::close(once, whole, 10));
    const auto expected = gradients(whole);
    const auto result = gradients(once);
    for (std::size_t i = 0; i < expected.size(); ++i)
      CHECK(test::close(result[i], expected[i], 100));
  }
}

TEST_CASE("The residual stream keeps its dtype under autocast", "[nn][cpu]") {
  torch::manual_seed(8);
  Transformer model(1, options(/*causal=*/true));
  at::autocast::set_autocast_enabled(at::kCPU, true);
  for (const auto dtype : {at::kFloat, at::kBFloat16})
    CHECK(model(tokens().to(dtype), kGrid).scalar_type() == dtype);
  at::autocast::set_autocast_enabled(at::kCPU, false);
  at::autocast::clear_cache();
}

TEST_CASE("A user's attention takes the place of the usual one in chosen layers", "[nn][cpu]") {
  torch::manual_seed(9);
  RowMean own;
  const BlockParts parts{.attention = [&](std::int64_t layer, const AttentionOptions& usual,
                                          const at::TensorOptions&) -> AnyAttention {
    CHECK(usual.heads == kHeads);
    if (layer != 1) return {};
    return own;
  }};
  Transformer model(3, options(/*causal=*/false), at::dtype(at::kDouble), parts);
  const auto names = model->named_parameters();
  CHECK(names.contains("resblocks.0.attn.in_proj_weight"));
  CHECK(names.contains("resblocks.1.attn.weight"));
  CHECK_FALSE(names.contains("resblocks.1.attn.in_proj_weight"));

  const TokenGrid grid{.batch = 2, .rows = 2, .columns = 3, .prefix = 1};
  const auto x = torch::randn({14, kWidth}, at::kDouble).requires_grad_();
  const auto y = model(x, grid);
  CHECK(own->seen.rows == 2);
  CHECK(own->seen.prefix == 1);
  auto expected = model->resblocks[0](x, grid);
  auto& block = model->resblocks[1];
  expected = expected + own->forward(block->ln_1(expected), grid);
  expected = model->resblocks[2](expected + block->mlp(block->ln_2(expected)), grid);
  CHECK(test::close(y, expected, 10));
  y.sum().backward();
  CHECK(own->weight.grad().abs().item<double>() > 0.0);
}

TEST_CASE("A user's attention in the last block needs no forward_once", "[nn][cpu]") {
  torch::manual_seed(10);
  const BlockParts parts{
      .attention = [](std::int64_t, const AttentionOptions&,
                      const at::TensorOptions&) -> AnyAttention { return RowMean(); }};
  Transformer model(2, options(/*causal=*/false), at::dtype(at::kDouble), parts);
  const TokenGrid grid{.batch = 2, .rows = 2, .columns = 3, .prefix = 1};
  const auto x = torch::randn({14, kWidth}, at::kDouble);
  const auto rows = torch::tensor({0, 9}, at::kLong);
  const auto whole = model(x, grid).index_select(0, rows);
  CHECK(test::close(model->forward_once(x, grid, rows), whole, 10));
  const auto with_gradient = x.clone().requires_grad_();
  const auto gradient = [&](bool checkpoint) {
    model->checkpoint_activations(checkpoint);
    return torch::autograd::grad({model->forward_once(with_gradient, grid, rows).sum()},
                                 {with_gradient, model->parameters().front()});
  };
  const auto plain = gradient(false);
  const auto replayed = gradient(true);
  for (std::size_t i = 0; i < plain.size(); ++i) CHECK(at::equal(plain[i], replayed[i]));
}

TEST_CASE("A user's MLP takes the place of the usual one and reports its cost", "[nn][cpu]") {
  torch::manual_seed(11);
  const BlockParts parts{.mlp = [](std::int64_t, const MlpOptions&,
                                   const at::TensorOptions&) -> AnyMlp { return OneMatrix(); }};
  Transformer model(1, options(/*causal=*/false), at::dtype(at::kDouble), parts);
  const auto x = tokens();
  auto& block = model->resblocks[0];
  const auto y = x + block->attn(block->ln_1(x), kGrid);
  const auto weight = model->named_parameters()["resblocks.0.mlp.weight"];
  CHECK(test::close(model(x, kGrid), y + block->ln_2(y).mm(weight), 10));
  const double attention = 21 * (4 * kWidth * kWidth + 2 * kLength * kWidth);
  CHECK(model->cost(kGrid).macs == attention + 1000.0 * kLength);
  CHECK(model->cost(kGrid).kept_elements == 21 * 7 * kWidth + 7.0);
}

TEST_CASE("The cost of parts that do not report it is estimated from their matrices", "[nn][cpu]") {
  const AnyMlp mlp(torch::nn::Linear(4, 6));
  CHECK(mlp.cost({.batch = 2, .columns = 5}).macs == 2 * 5 * 4 * 6);
  CHECK(mlp.cost({.batch = 2, .columns = 5}).kept_elements == 2 * 5 * 6);
}
