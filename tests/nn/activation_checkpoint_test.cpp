// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/nn/activation_checkpoint.hpp"

#include <functional>
#include <vector>

#include "contrapunto/autograd/memory_meter.hpp"
#include "contrapunto/nn/batch_norm.hpp"
#include "contrapunto/nn/linear.hpp"
#include "contrapunto/nn/patch_dropout.hpp"
#include "contrapunto/nn/residual_attention_block.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

using Block = std::function<at::Tensor(const at::Tensor&)>;
using Tensors = std::vector<at::Tensor>;

/// y and the gradients of `inputs`, then a random number, which depends on the generator's state.
Tensors run(const Block& block, const at::Tensor& x, const Tensors& inputs) {
  torch::manual_seed(21);
  const auto y = block(x);
  const auto direction = torch::linspace(-1, 1, y.numel(), y.options()).view(y.sizes());
  Tensors results = torch::autograd::grad({(y * direction).sum()}, inputs, {}, std::nullopt, false,
                                          /*allow_unused=*/true);
  results.push_back(y.detach());
  results.push_back(torch::rand({3}));
  return results;
}

bool same(const Tensors& a, const Tensors& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i].defined() != b[i].defined() || (a[i].defined() && !at::equal(a[i], b[i])))
      return false;
  return true;
}

Block checkpointed(const Block& block, const Tensors& parameters) {
  return [=](const at::Tensor& x) { return activation_checkpoint(block, x, parameters); };
}

/// Checks that the checkpointed block gives the bits of the plain one.
bool is_exact(const Block& block, const at::Tensor& x, const Tensors& parameters) {
  auto inputs = parameters;
  if (x.requires_grad()) inputs.push_back(x);
  return same(run(block, x, inputs), run(checkpointed(block, parameters), x, inputs));
}

constexpr TokenGrid kGrid{.batch = 3, .columns = 4};

ResidualAttentionBlock transformer_block(bool causal = false) {
  return ResidualAttentionBlock(
      ResidualAttentionBlockOptions{.attention = {.width = 16, .heads = 2, .causal = causal},
                                    .mlp = {.width = 16, .hidden = 64}});
}

struct Bf16Autocast {
  Bf16Autocast() {
    at::autocast::set_autocast_enabled(at::kCPU, true);
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
    at::autocast::increment_nesting();
  }
  ~Bf16Autocast() {
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, false);
  }
};

}  // namespace

TEST_CASE("A checkpointed transformer block has the gradients of the plain one", "[nn][cpu]") {
  torch::manual_seed(1);
  auto block = transformer_block(/*causal=*/true);
  const auto x = torch::randn({12, 16}).requires_grad_();
  const Block forward = [&](const at::Tensor& z) { return block(z, kGrid); };
  CHECK(is_exact(forward, x, block->parameters()));
  const Bf16Autocast autocast;
  CHECK(is_exact(forward, x, block->parameters()));
}

TEST_CASE("A checkpointed block repeats its dropout and does not change the generator",
          "[nn][cpu]") {
  torch::manual_seed(2);
  const auto weight = torch::randn({16, 16}).requires_grad_();
  const auto x = torch::randn({2, 5, 16}).requires_grad_();
  CHECK(is_exact([&](const at::Tensor& z) { return torch::dropout(z.matmul(weight), 0.5, true); },
                 x, {weight}));
  CHECK(is_exact([&](const at::Tensor& z) { return drop_patches(z, 0.5, 1).matmul(weight); }, x,
                 {weight}));
}

TEST_CASE("A checkpointed batch norm updates its statistics once", "[nn][cpu]") {
  torch::manual_seed(3);
  const auto x = torch::randn({4, 3, 2, 2}).requires_grad_();
  BatchNorm plain(3);
  BatchNorm ours(3);
  const auto one = run([&](const at::Tensor& z) { return plain(z); }, x, {plain->weight, x});
  const auto two =
      run(checkpointed([&](const at::Tensor& z) { return ours(z); }, ours->parameters()), x,
          {ours->weight, x});
  CHECK(same(one, two));
  CHECK(at::equal(plain->running_mean, ours->running_mean));
  CHECK(at::equal(plain->running_var, ours->running_var));
  CHECK(ours->num_batches_tracked.item<std::int64_t>() == 1);
}

TEST_CASE("An activation checkpoint repeats the autocast of its forward on any thread of backward",
          "[nn][cpu]") {
  torch::manual_seed(4);
  const auto weight = torch::randn({8, 8}).requires_grad_();
  const auto x = torch::randn({4, 8}).requires_grad_();
  const auto forward = [&](bool checkpoint) {
    const Bf16Autocast autocast;
    const Block block = [&](const at::Tensor& z) { return z.mm(weight).relu().mm(weight); };
    return (checkpoint ? activation_checkpoint(block, x, {weight}) : block(x)).to(at::kFloat);
  };
  // Cast weights are cached without checkpoints, so that both uses of one weight meet in bf16.
  at::autocast::set_autocast_cache_enabled(false);
  const auto plain = torch::autograd::grad({forward(false).sum()}, {weight, x});
  at::autocast::set_autocast_cache_enabled(true);
  const auto outside = torch::autograd::grad({forward(true).sum()}, {weight, x});
  CHECK(same(outside, plain));
  const auto loss = forward(true).sum();
  {
    const Bf16Autocast autocast;
    CHECK(same(torch::autograd::grad({loss}, {weight, x}), plain));
    CHECK(at::autocast::is_autocast_enabled(at::kCPU));
  }
  CHECK_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
  CHECK(at::autocast::is_autocast_cache_enabled());
}

TEST_CASE("An activation checkpoint leaves no cast weight in the cache for a later forward",
          "[nn][cpu]") {
  torch::manual_seed(5);
  const auto weight = torch::randn({8, 8}).requires_grad_();
  const auto x = torch::randn({4, 8});
  const Bf16Autocast autocast;
  const auto first =
      activation_checkpoint([&](const at::Tensor& z) { return z.mm(weight); }, x, {weight});
  const auto second = x.mm(weight);
  const auto gradient = torch::autograd::grad({second.sum()}, {weight}, {}, std::nullopt, false,
                                              /*allow_unused=*/true);
  REQUIRE(gradient[0].defined());
  CHECK(at::equal(torch::autograd::grad({first.sum()}, {weight})[0], gradient[0]));
}

TEST_CASE("Frozen parameters and an input without gradient are as without a checkpoint",
          "[nn][cpu]") {
  torch::manual_seed(6);
  auto block = transformer_block();
  const Block forward = [&](const at::Tensor& z) { return block(z, kGrid); };
  block->attn->named_parameters()["in_proj_weight"].set_requires_grad(false);
  Tensors trained;
  for (const auto& parameter : block->parameters())
    if (parameter.requires_grad()) trained.push_back(parameter);
  for (const bool needs_x : {false, true}) {
    const auto x = torch::randn({12, 16}).requires_grad_(needs_x);
    auto inputs = trained;
    if (needs_x) inputs.push_back(x);
    CHECK(
        same(run(forward, x, inputs), run(checkpointed(forward, block->parameters()), x, inputs)));
  }
  for (auto& parameter : block->parameters()) parameter.set_requires_grad(false);
  const auto x = torch::randn({12, 16}).requires_grad_();
  CHECK(is_exact(forward, x, {}));
  CHECK_FALSE(activation_checkpoint(forward, x.detach(), block->parameters()).requires_grad());
}

TEST_CASE("One block used twice gets the sum of its gradients", "[nn][cpu]") {
  torch::manual_seed(7);
  auto block = transformer_block();
  const Block once = [&](const at::Tensor& z) { return block(z, kGrid); };
  const auto again = checkpointed(once, block->parameters());
  const auto x = torch::randn({12, 16}).requires_grad_();
  auto inputs = block->parameters();
  inputs.push_back(x);
  CHECK(same(run([&](const at::Tensor& z) { return once(once(z)); }, x, inputs),
             run([&](const at::Tensor& z) { return again(again(z)); }, x, inputs)));
}

TEST_CASE("An activation checkpoint inside another one is exact", "[nn][cpu]") {
  torch::manual_seed(8);
  auto block = transformer_block();
  const auto x = torch::randn({12, 16}).requires_grad_();
  const Block plain = [&](const at::Tensor& z) {
    return torch::dropout(block(torch::dropout(z, 0.2, true), kGrid), 0.5, true);
  };
  auto inputs = block->parameters();
  inputs.push_back(x);
  const auto nested = checkpointed(checkpointed(plain, block->parameters()), block->parameters());
  CHECK(same(run(plain, x, inputs), run(nested, x, inputs)));
}

TEST_CASE("Hooks of a parameter run once, on the sum of the gradients of the blocks", "[nn][cpu]") {
  torch::manual_seed(9);
  const auto weight = torch::randn({4, 4}).requires_grad_();
  const Block block = [&](const at::Tensor& z) { return z.mm(weight); };
  const auto gradient_with_hook = [&](const Block& f) {
    int calls = 0;
    const auto hook = weight.register_hook([&](const at::Tensor& g) {
      ++calls;
      return 2 * g;
    });
    weight.mutable_grad() = at::Tensor();
    f(f(torch::ones({2, 4}))).sum().backward();
    weight.remove_hook(hook);
    CHECK(calls == 1);
    return weight.grad().clone();
  };
  const auto plain = gradient_with_hook(block);
  CHECK(at::equal(gradient_with_hook(checkpointed(block, {weight})), plain));
}

TEST_CASE("backward() twice over a kept graph adds the same gradient twice", "[nn][cpu]") {
  torch::manual_seed(10);
  const auto weight = torch::randn({4, 4}).requires_grad_();
  const auto y = checkpointed([&](const at::Tensor& z) { return z.mm(weight); },
                              {weight})(torch::ones({2, 4}));
  y.sum().backward({}, /*retain_graph=*/true);
  const auto once = weight.grad().clone();
  y.sum().backward();
  CHECK(at::equal(weight.grad(), 2 * once));
}

TEST_CASE("Unused parameters and untouched inputs come out as in a plain run", "[nn][cpu]") {
  torch::manual_seed(11);
  const auto weight = torch::randn({4, 4}).requires_grad_();
  const auto unused = torch::randn({4}).requires_grad_();
  const auto x = torch::randn({2, 4}).requires_grad_();
  CHECK(is_exact([&](const at::Tensor& z) { return z.mm(weight); }, x, {weight, unused}));
  CHECK(is_exact([](const at::Tensor& z) { return z; }, x, {}));
  // The parameter is computed from another tensor.
  const auto halved = weight / 2;
  const auto of_half = [&](const Block& f) {
    return torch::autograd::grad({f(x).sum()}, {weight, x}, {}, /*retain_graph=*/true);
  };
  const Block block = [&](const at::Tensor& z) { return z.mm(halved); };
  CHECK(same(of_half(block), of_half(checkpointed(block, {halved}))));
}

TEST_CASE("A parameter that the block hides is named when backward would lose it", "[nn][cpu]") {
  const auto hidden = torch::ones({3, 4}).requires_grad_();
  const auto declared = torch::ones({4}).requires_grad_();
  const auto x = torch::ones({2, 3});
  const auto y = activation_checkpoint([&](const at::Tensor& z) { return z.mm(hidden) + declared; },
                                       x, {declared});
  CHECK_THROWS_WITH(y.sum().backward(), Contains("[3, 4]") && Contains("pass it with"));
  const auto computed = hidden * 2;  // its graph is older than the block's
  const auto z = activation_checkpoint(
      [&](const at::Tensor& w) { return w.mm(computed) + declared; }, x, {declared, hidden});
  CHECK_THROWS_WITH(z.sum().backward(), Contains("[3, 4]"));
  CHECK_FALSE(hidden.grad().defined());
}

TEST_CASE("An activation checkpoint is a plain call where no graph is recorded", "[nn][cpu]") {
  const auto weight = torch::ones({4, 4}).requires_grad_();
  int calls = 0;
  const Block block = [&](const at::Tensor& z) {
    ++calls;
    return z.mm(weight);
  };
  const torch::NoGradGuard no_grad;
  const auto y = activation_checkpoint(block, torch::ones({2, 4}), {weight});
  CHECK_FALSE(y.requires_grad());
  CHECK(calls == 1);
}

TEST_CASE("Second derivatives through a checkpoint are refused", "[nn][cpu]") {
  const auto x = torch::ones({3}).requires_grad_();
  const auto y = activation_checkpoint([](const at::Tensor& z) { return z.pow(3); }, x, {});
  CHECK_THROWS_WITH(torch::autograd::grad({y.sum()}, {x}, {}, std::nullopt, /*create_graph=*/true),
                    Contains("second derivatives"));
}

TEST_CASE("A weight changed between forward and backward is refused", "[nn][cpu]") {
  const auto weight = torch::ones({4, 4}).requires_grad_();
  const auto y = activation_checkpoint([&](const at::Tensor& z) { return z.mm(weight); },
                                       torch::ones({2, 4}), {weight});
  {
    const torch::NoGradGuard no_grad;
    weight.add_(1);
  }
  CHECK_THROWS_WITH(y.sum().backward(), Contains("modified by an inplace operation"));
}

TEST_CASE("Activation checkpoints keep only the inputs of blocks", "[nn][cpu]") {
  constexpr std::int64_t kBlocks = 6;
  const auto x = torch::randn({1000}).requires_grad_();
  const Block block = [](const at::Tensor& z) { return z.sin().cos().sin().cos().sin(); };
  const auto kept = [&](const Block& f) {
    const MemoryMeter meter;
    auto y = x;
    for (int i = 0; i < kBlocks; ++i) y = f(y);
    return meter.current_bytes() / (1000 * static_cast<std::int64_t>(sizeof(float)));
  };
  CHECK(kept(block) == 5 * kBlocks);
  const auto checkpointed_bytes = kept(checkpointed(block, {}));
  CHECK(checkpointed_bytes >= kBlocks);
  CHECK(checkpointed_bytes <= 3 * kBlocks);  // and 5 kB of the generator's state for each
}

TEST_CASE("An activation checkpoint on CUDA repeats dropout and autocast", "[nn][gpu]") {
  if (!torch::cuda::is_available()) {
    WARN("no CUDA device");
    return;
  }
  torch::manual_seed(12);
  auto block = transformer_block();
  block->to(torch::kCUDA);
  const auto x = torch::randn({12, 16}, torch::kCUDA).requires_grad_();
  const Block forward = [&](const at::Tensor& z) {
    return torch::dropout(block(torch::dropout(z, 0.2, true), kGrid), 0.5, true);
  };
  CHECK(is_exact(forward, x, block->parameters()));
  at::autocast::set_autocast_enabled(at::kCUDA, true);
  at::autocast::set_autocast_dtype(at::kCUDA, at::kBFloat16);
  CHECK(is_exact(forward, x, block->parameters()));
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCUDA, false);
}
