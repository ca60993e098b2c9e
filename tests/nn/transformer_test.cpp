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

/// Attention in loops over sequences, heads and queries.
at::Tensor naive(const at::Tensor& x, const Attention& attn, bool causal) {
  const auto qkv = x.mm(attn->in_proj_weight.t()) + attn->in_proj_bias;
  const auto head = kWidth / kHeads;
  auto mixed = torch::zeros({kBatch * kLength, kWidth}, x.options());
  for (std::int64_t b = 0; b < kBatch; ++b)
    for (std::int64_t h = 0; h < kHeads; ++h)
      for (std::int64_t i = 0; i < kLength; ++i) {
        const auto part = [&](std::int64_t which, std::int64_t rows) {
          return qkv.narrow(0, b * kLength, rows).narrow(1, which * kWidth + h * head, head);
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

}  // namespace

TEST_CASE("Attention equals loops over sequences, heads and queries", "[nn][cpu]") {
  torch::manual_seed(6);
  Attention attn(AttentionOptions{.width = kWidth, .heads = kHeads}, at::dtype(at::kDouble));
  const at::NoGradGuard no_grad;
  attn->in_proj_bias.normal_();
  const auto x = tokens();
  for (const bool causal : {false, true})
    CHECK(test::close(attn(x, kBatch, causal), naive(x, attn, causal), 10));
}

TEST_CASE("Heads that do not divide the width are refused with both numbers", "[nn][cpu]") {
  CHECK(test::raises([] { Attention(AttentionOptions{.width = 10, .heads = 4}); },
                     {"width (10)", "heads (4)"}));
}

TEST_CASE("A transformer that computes one row per sequence equals the rows of the whole one",
          "[nn][cpu]") {
  torch::manual_seed(7);
  const ResidualAttentionBlockOptions options{.attention = {.width = kWidth, .heads = kHeads},
                                              .mlp = {.width = kWidth, .hidden = 20}};
  Transformer model(2, options, at::dtype(at::kDouble));
  const auto position = torch::tensor({2, 6, 0}, at::kLong);
  const auto rows = torch::arange(kBatch) * kLength + position;
  const auto seen = (torch::arange(kLength) <= position.unsqueeze(1)).view({kBatch, 1, kLength});
  for (const bool causal : {false, true}) {
    const auto x = tokens().requires_grad_();
    const auto weights = torch::randn({kBatch, kWidth}, at::dtype(at::kDouble));
    const auto gradients = [&](const at::Tensor& y) {
      auto inputs = model->parameters();
      inputs.push_back(x);
      return torch::autograd::grad({(y * weights).sum()}, inputs);
    };
    const auto whole = model(x, kBatch, causal).index_select(0, rows);
    const auto once = model->forward_once(x, kBatch, causal, rows,
                                          causal ? std::optional<at::Tensor>(seen) : std::nullopt);
    CHECK(test::close(once, whole, 10));
    const auto expected = gradients(whole);
    const auto result = gradients(once);
    for (std::size_t i = 0; i < expected.size(); ++i)
      CHECK(test::close(result[i], expected[i], 100));
  }
}

TEST_CASE("The residual stream keeps its dtype under autocast", "[nn][cpu]") {
  torch::manual_seed(8);
  const ResidualAttentionBlockOptions options{.attention = {.width = kWidth, .heads = kHeads},
                                              .mlp = {.width = kWidth, .hidden = 20}};
  Transformer model(1, options);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  for (const auto dtype : {at::kFloat, at::kBFloat16})
    CHECK(model(tokens().to(dtype), kBatch, true).scalar_type() == dtype);
  at::autocast::set_autocast_enabled(at::kCPU, false);
  at::autocast::clear_cache();
}
