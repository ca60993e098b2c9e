// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/nn/residual_attention_block.hpp"

#include <cmath>

#include "contrapunto/autograd/memory_meter.hpp"
#include "contrapunto/nn/transformer.hpp"
#include "contrapunto/precision/autocast_guard.hpp"
#include "nn/raises.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;

namespace {

constexpr std::int64_t kWidth = 12;
constexpr TokenGrid kGrid{.batch = 3, .rows = 2, .columns = 2, .prefix = 1};

ResidualAttentionBlockOptions options() {
  return {.attention = {.width = kWidth, .heads = 3}, .mlp = {.width = kWidth, .hidden = 20}};
}

/// The block in its own words: branches with factors of each sample and each number.
at::Tensor expected(ResidualAttentionBlock& block, BlockOrder order, const at::Tensor& x,
                    const at::Tensor& keep_1, const at::Tensor& keep_2) {
  const auto scaled = [&](const at::Tensor& branch, const LayerScale& scale,
                          const at::Tensor& keep) {
    const auto factors = keep.repeat_interleave(kGrid.length()).unsqueeze(1);
    return branch * factors * (scale ? scale->gamma : torch::ones({kWidth}, at::kDouble));
  };
  const auto attention = scaled(block->attn(block->ln_1(x), kGrid), block->ls_1, keep_1);
  switch (order) {
    case BlockOrder::kSequential: {
      const auto y = x + attention;
      return y + scaled(block->mlp(block->ln_2(y)), block->ls_2, keep_2);
    }
    case BlockOrder::kParallel:
      return x + attention + scaled(block->mlp(block->ln_1(x)), block->ls_2, keep_2);
    case BlockOrder::kNormedStream: {
      const auto y = block->ln_2(x + attention);
      return y + scaled(block->mlp(y), block->ls_2, keep_2);
    }
  }
  return {};
}

/// Casts what is not kept in float32 under every precision.
void cast(torch::nn::Module& module, at::ScalarType dtype) {
  for (const auto& part : module.modules())
    if (dynamic_cast<const KeepsFloat32*>(part.get()) == nullptr)
      for (auto& parameter : part->parameters(/*recurse=*/false))
        parameter.set_data(parameter.to(dtype));
}

}  // namespace

TEST_CASE("Blocks equal their formulas in every order, with factors and dropped branches",
          "[nn][cpu]") {
  torch::manual_seed(1);
  const auto ones = torch::ones({kGrid.batch}, at::kDouble);
  for (const auto order :
       {BlockOrder::kSequential, BlockOrder::kParallel, BlockOrder::kNormedStream})
    for (const bool scales : {false, true})
      for (const double rate : {0.0, 0.4}) {
        CAPTURE(static_cast<int>(order), scales, rate);
        auto o = options();
        o.order = order;
        o.drop_path = rate;
        if (scales) o.layer_scale = 0.5;
        ResidualAttentionBlock block(o, at::dtype(at::kDouble));
        if (scales) torch::nn::init::normal_(block->ls_2->gamma);
        const auto x = torch::randn({15, kWidth}, at::kDouble).requires_grad_();
        auto inputs = block->parameters();
        inputs.push_back(x);
        const auto weights = torch::randn({15, kWidth}, at::kDouble);
        const auto check = [&](const at::Tensor& ours, const at::Tensor& theirs) {
          CHECK(test::close(ours, theirs, 10));
          const auto a = torch::autograd::grad({(ours * weights).sum()}, inputs);
          const auto b = torch::autograd::grad({(theirs * weights).sum()}, inputs);
          for (std::size_t i = 0; i < a.size(); ++i) CHECK(test::close(a[i], b[i], 100));
        };
        torch::manual_seed(2);
        const auto ours = block(x, kGrid);
        torch::manual_seed(2);
        auto keep_1 = ones, keep_2 = ones;
        if (rate > 0.0) {
          keep_1 = draw_drop_path(3, rate, x).to(at::kDouble) / (1 - rate);
          keep_2 = draw_drop_path(3, rate, x).to(at::kDouble) / (1 - rate);
        }
        check(ours, expected(block, order, x, keep_1, keep_2));
        block->eval();
        const auto whole = expected(block, order, x, ones, ones);
        check(block(x, kGrid), whole);
        const auto rows = torch::arange(3) * 5 + torch::tensor({0, 2, 4});
        CHECK(test::close(block->forward_once(x, kGrid, rows), whole.index_select(0, rows), 10));
      }
}

TEST_CASE("Drop path keeps the mean, at a rate that grows over the layers", "[nn][cpu]") {
  torch::manual_seed(3);
  const std::int64_t n = 100'000;
  const auto factors = draw_drop_path(n, 0.3, torch::zeros({1}));
  // The share of a binomial distribution is within 5 of its standard deviations.
  const double share = factors.eq(0).to(at::kDouble).mean().item<double>();
  CHECK(std::abs(share - 0.3) < 5 * std::sqrt(0.3 * 0.7 / static_cast<double>(n)));
  CHECK(at::equal(factors, factors.ne(0).to(at::kFloat)));
  const auto rates = drop_path_rates(5, 0.2);
  for (std::size_t i = 0; i < 5; ++i) CHECK(rates[i] == Approx(0.05 * static_cast<double>(i)));
  CHECK(drop_path_rates(1, 0.2).front() == 0.2);
  CHECK(test::raises([] { static_cast<void>(drop_path_rates(2, 1.0)); }, {"drop_path (1)"}));
}

TEST_CASE("An activation checkpoint drops the same branches again", "[nn][cpu]") {
  auto o = options();
  o.drop_path = 0.5;
  o.layer_scale = 0.1;
  torch::manual_seed(4);
  Transformer transformer(3, o);
  const auto x = torch::randn({15, kWidth});
  const auto gradients = [&](bool checkpoints) {
    transformer->checkpoint_activations(checkpoints);
    torch::manual_seed(5);
    return torch::autograd::grad({transformer(x, kGrid).square().sum()}, transformer->parameters());
  };
  const auto plain = gradients(false), again = gradients(true);
  for (std::size_t i = 0; i < plain.size(); ++i) CHECK(at::equal(plain[i], again[i]));
}

TEST_CASE("The factors of a block start at the given value and have OpenCLIP's names",
          "[nn][cpu]") {
  auto o = options();
  o.layer_scale = 1e-4;
  ResidualAttentionBlock block(o);
  const auto named = block->named_parameters();
  for (const auto* name : {"ls_1.gamma", "ls_2.gamma"}) {
    REQUIRE(named.find(name) != nullptr);
    CHECK(at::equal(named[name], torch::full({kWidth}, 1e-4)));
  }
}

TEST_CASE("A gated MLP equals its formula", "[nn][cpu]") {
  torch::manual_seed(6);
  for (const bool inner_norm : {false, true}) {
    SwiGluMlp mlp(SwiGluMlpOptions{.width = 6, .hidden = 10, .inner_norm = inner_norm},
                  at::dtype(at::kDouble));
    const auto x = torch::randn({4, 6}, at::kDouble);
    const auto both = x.mm(mlp->c_fc->weight.t()) + mlp->c_fc->bias;
    const auto gate = both.narrow(1, 0, 10), value = both.narrow(1, 10, 10);
    auto hidden = gate / (1 + (-gate).exp()) * value;
    if (inner_norm) hidden = mlp->norm(hidden);
    CHECK(test::close(mlp(x), hidden.mm(mlp->c_proj->weight.t()) + mlp->c_proj->bias, 10));
    CHECK(mlp->cost({.batch = 2, .columns = 2}).macs == 4 * 3 * 6 * 10);
  }
}

TEST_CASE("Blocks refuse options that do not go together", "[nn][cpu]") {
  auto o = options();
  o.drop_path = -0.1;
  CHECK(test::raises([&] { ResidualAttentionBlock{o}; }, {"drop_path (-0.1)"}));
  o = options();
  o.attention.heads = 0;
  o.order = BlockOrder::kParallel;
  CHECK(test::raises([&] { ResidualAttentionBlock{o}; }, {"without heads must be sequential"}));
}

TEST_CASE("Fused passes give what separate operations give, in every precision", "[nn][cpu]") {
  for (const auto dtype : {at::kFloat, at::kBFloat16, at::kHalf})
    for (const bool autocast : {false, true})
      for (const auto* kind : {"gelu", "quick_gelu", "swiglu"}) {
        if (autocast && dtype != at::kBFloat16) continue;
        CAPTURE(dtype, autocast, kind);
        torch::manual_seed(7);
        auto o = options();
        o.layer_scale = 0.5;
        o.drop_path = 0.3;
        if (kind == std::string("quick_gelu")) o.mlp.activation = Activation::kQuickGelu;
        if (kind == std::string("swiglu")) o.mlp.kind = MlpKind::kSwiGlu;
        ResidualAttentionBlock block(o);
        if (!autocast) cast(*block, dtype);
        const auto x =
            torch::randn({15, kWidth}).to(autocast ? at::kFloat : dtype).requires_grad_();
        auto inputs = block->parameters();
        inputs.push_back(x);
        const auto weights = torch::randn({15, kWidth});
        const auto run = [&](bool fused) {
          block->fuse_passes(fused);
          torch::manual_seed(8);
          at::Tensor y;
          {
            const AutocastGuard guard(precision_policy(autocast ? "bf16" : "fp32"),
                                      torch::Device(at::kCPU));
            y = block(x, kGrid);
          }
          auto all = torch::autograd::grad({(y.to(at::kFloat) * weights).sum()}, inputs);
          all.push_back(y);
          return all;
        };
        const auto fused = run(true), separate = run(false);
        // Both round intermediate results, at places that differ.
        const double limit = 4 * test::tolerance(autocast ? at::kBFloat16 : dtype);
        double largest = 0.0;
        for (const auto& tensor : separate)
          largest = std::max(largest, tensor.abs().max().item<double>());
        for (std::size_t i = 0; i < fused.size(); ++i) {
          CHECK(fused[i].scalar_type() == separate[i].scalar_type());
          CHECK((fused[i] - separate[i]).abs().max().item<double>() < limit * largest);
        }
      }
}

TEST_CASE("Fused passes compute no gradients of frozen tensors", "[nn][cpu]") {
  torch::manual_seed(9);
  auto o = options();
  o.layer_scale = 0.5;
  ResidualAttentionBlock block(o);
  for (auto& parameter : block->parameters()) parameter.requires_grad_(false);
  block->ls_2->gamma.requires_grad_(true);
  block->ln_1->bias.requires_grad_(true);
  const auto x = torch::randn({15, kWidth});
  block(x, kGrid).square().sum().backward();
  for (const auto& item : block->named_parameters()) {
    const bool trains = item.key() == "ls_2.gamma" || item.key() == "ln_1.bias";
    CHECK(item.value().grad().defined() == trains);
  }
  const auto gamma = block->ls_2->gamma.grad().clone();
  block->zero_grad();
  block->fuse_passes(false);
  block(x, kGrid).square().sum().backward();
  CHECK(test::close(gamma, block->ls_2->gamma.grad(), 10));
}

TEST_CASE("Fused passes keep about half of the activations", "[nn][cpu]") {
  auto o = options();
  o.attention = {.width = 64, .heads = 2};
  o.mlp = {.width = 64, .hidden = 256};
  o.layer_scale = 0.1;
  o.drop_path = 0.1;
  const TokenGrid grid{.batch = 4, .columns = 64};
  const auto kept = [&](bool fused) {
    ResidualAttentionBlock block(o);
    block->fuse_passes(fused);
    const auto x = torch::randn({256, 64}).requires_grad_();
    const MemoryMeter meter;
    const auto y = block(x, grid);
    return static_cast<double>(meter.current_bytes()) / (256 * 64 * sizeof(float));
  };
  // Queries, keys and values, attention, the stream twice and the hidden layer; and the sums of
  // the softmax, one for each token and head.
  CHECK(kept(true) == Approx(3 + 1 + 2 + 4 + 2.0 / 64).margin(0.1));
  CHECK(kept(false) > 1.5 * kept(true));
  // The gate and what it multiplies, each as wide as the hidden layer.
  o.mlp.kind = MlpKind::kSwiGlu;
  CHECK(kept(true) == Approx(3 + 1 + 2 + 8 + 2.0 / 64).margin(0.1));
  CHECK(kept(false) > 1.5 * kept(true));
}
