// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/optim/muon.hpp"

#include <cmath>

#include "contrapunto/towers/find_model_config.hpp"
#include "contrapunto/towers/make_dual_encoder.hpp"
#include "optim/rule_loop.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

constexpr double kA = 3.4445, kB = -4.7750, kC = 2.0315;

at::Tensor polynomial(const at::Tensor& s) {
  return kA * s + kB * s.pow(3) + kC * s.pow(5);
}

/// What the five steps make of a matrix [M, N], by its singular values.
at::Tensor by_singular_values(const at::Tensor& matrix) {
  const auto [u, s, v] = torch::linalg_svd(matrix, /*full_matrices=*/false);
  auto values = s / matrix.norm();
  for (int step = 0; step < 5; ++step) values = polynomial(values);
  return u.mm(values.diag()).mm(v);
}

/// The iteration in float64 with every sum and product off by the unit roundoff of bf16, up or
/// down.
at::Tensor with_rounding_errors(at::Tensor x) {
  const auto off = [](const at::Tensor& exact) {
    return exact * (1 + std::ldexp(1.0, -8) * torch::randn_like(exact).sign());
  };
  x = off(x / x.norm());
  for (int step = 0; step < 5; ++step) {
    const auto gram = off(x.mm(x.t()));
    const auto factor = off(off(kB * gram) + off(kC * gram.mm(gram)));
    x = off(off(kA * x) + off(factor.mm(x)));
  }
  return x;
}

}  // namespace

TEST_CASE("Newton-Schulz maps the singular values of every matrix by its polynomial",
          "[optim][cpu]") {
  torch::manual_seed(4);
  const std::vector<std::int64_t> shape =
      GENERATE(std::vector<std::int64_t>{5, 9}, std::vector<std::int64_t>{9, 5},
               std::vector<std::int64_t>{6, 6});
  const auto matrices = torch::randn({3, shape[0], shape[1]}, torch::kDouble);
  matrices[2] *= 1e-6;
  const auto result = newton_schulz(matrices, torch::kDouble);
  for (int i = 0; i < 3; ++i) CHECK(test::close(result[i], by_singular_values(matrices[i]), 10));
  CHECK(newton_schulz(matrices).scalar_type() == torch::kBFloat16);
  CHECK(torch::equal(newton_schulz(torch::zeros({1, 3, 4})),
                     torch::zeros({1, 3, 4}, torch::kBFloat16)));
  CHECK_THROWS_WITH(newton_schulz(matrices[0]), Contains("expected [matrices, rows, columns]"));
}

TEST_CASE("Newton-Schulz brings singular values above 0.003 of the norm near 1", "[optim][cpu]") {
  const auto s = torch::logspace(-2.5, 0, 400, 10.0, torch::kDouble);
  auto values = s;
  for (int step = 0; step < 5; ++step) values = polynomial(values);
  CHECK(values.min().item<double>() > 0.68);
  CHECK(values.max().item<double>() < 1.21);
}

TEST_CASE("Newton-Schulz in bf16 is as exact as the roundings of bf16 allow", "[optim][cpu]") {
  torch::manual_seed(5);
  const auto matrix = torch::randn({8, 12}, torch::kDouble);
  const auto exact = by_singular_values(matrix);
  double bound = 0.0;
  for (int i = 0; i < 20; ++i)
    bound = std::max(bound, (with_rounding_errors(matrix) - exact).norm().item<double>());
  for (const auto& given : {matrix, matrix.t().contiguous()}) {
    const auto rounded = newton_schulz(given.to(torch::kFloat).unsqueeze(0))[0];
    const auto expected = given.is_same(matrix) ? exact : exact.t();
    CHECK((rounded.to(torch::kDouble) - expected).norm().item<double>() <= bound);
  }
  CHECK(bound < 0.2 * exact.norm().item<double>());  // so that the check says something
}

TEST_CASE("Muon follows its papers for 100 steps", "[optim][cpu]") {
  torch::manual_seed(6);
  const auto kind = GENERATE(torch::kFloat, torch::kDouble);
  MuonRule rule{.momentum = 0.9, .adamw = {.beta2 = 0.98}, .product_dtype = torch::kDouble};
  rule.scale = GENERATE(MuonScale::kMatchAdamW, MuonScale::kOriginal);
  auto groups = test::mixed_groups(kind);
  groups.push_back({"more",
                    {test::parameter({6, 4}, kind), test::parameter({5, 2, 3, 3}, kind),
                     test::parameter({4, 5}, kind), test::parameter({9, 4}, kind)},
                    {"visual.attn.in_proj_weight", "layer1.0.conv2.weight", "c_fc.weight",
                     "text.token_embedding.weight"},
                    0.1});
  const auto scale = [&](double rows, double columns) {
    return rule.scale == MuonScale::kOriginal ? std::sqrt(std::max(1.0, rows / columns))
                                              : 0.2 * std::sqrt(std::max(rows, columns));
  };
  test::check_follows(groups, rule, [&](test::Loop& p, const at::Tensor& g, double lr) {
    if (p.value.dim() < 2 || p.name == "text.token_embedding.weight") {
      auto &m = p.at("m"), &v = p.at("v");
      m = 0.9 * m + 0.1 * g;
      v = 0.98 * v + 0.02 * g * g;
      const auto update =
          (m / (1 - std::pow(0.9, p.steps))) / ((v / (1 - std::pow(0.98, p.steps))).sqrt() + 1e-8);
      p.value = p.value - lr * (update + p.weight_decay * p.value);
      return;
    }
    auto& sum = p.at("sum");
    sum = 0.9 * sum + g;
    std::vector<at::Tensor> parts;
    for (const auto& part :
         (g + 0.9 * sum).flatten(1).chunk(p.name.ends_with("in_proj_weight") ? 3 : 1))
      parts.push_back(by_singular_values(part) *
                      scale(static_cast<double>(part.size(0)), static_cast<double>(part.size(1))));
    p.value = p.value - lr * (torch::cat(parts).view(p.value.sizes()) + p.weight_decay * p.value);
  });
}

TEST_CASE("Muon takes the matrices of hidden layers of each model, and AdamW the rest",
          "[optim][cpu]") {
  const auto adamw_names = [](const std::string& name) {
    auto config = find_model_config(name);
    const auto model = make_dual_encoder(config);
    std::vector<std::string> names;
    for (const auto& item : model->named_parameters())
      if (item.value().dim() >= 2 && !MuonRule{}.is_matrix(item.key(), item.value()))
        names.push_back(item.key());
    std::sort(names.begin(), names.end());
    return names;
  };
  CHECK(adamw_names("ViT-B-32") ==
        std::vector<std::string>{"text.positional_embedding", "text.text_projection",
                                 "text.token_embedding.weight", "visual.conv1.weight",
                                 "visual.positional_embedding", "visual.proj"});
  CHECK(adamw_names("RN50") ==
        std::vector<std::string>{"text.positional_embedding", "text.text_projection",
                                 "text.token_embedding.weight", "visual.attnpool.c_proj.weight",
                                 "visual.attnpool.positional_embedding", "visual.conv1.weight"});
  const MuonRule rule;
  CHECK_FALSE(rule.is_matrix("visual.ln_pre.weight", torch::ones({4})));
  CHECK(rule.is_matrix("visual.transformer.resblocks.0.mlp.c_proj.weight", torch::ones({4, 4})));
  CHECK(rule.is_matrix("visual.transformer.resblocks.0.attn.out_proj.weight", torch::ones({4, 4})));
}

TEST_CASE("Muon refuses options out of range", "[optim][cpu]") {
  CHECK_THROWS_WITH(Muon({}, {.momentum = 1.0}), Contains("Muon: the momentum (1)"));
  CHECK_THROWS_WITH(Muon({}, {.adamw = {.beta1 = -1.0}}), Contains("AdamW: beta1 (-1)"));
}
