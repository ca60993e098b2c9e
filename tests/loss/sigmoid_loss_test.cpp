// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/loss/sigmoid_loss.hpp"

#include <cmath>

#include "contrapunto/precision/autocast_guard.hpp"
#include "loss/loss_oracle.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

Embeddings with_bias(Embeddings e, double bias) {
  e.bias = torch::tensor(bias, torch::kFloat);
  return e;
}

double value(const Embeddings& e) {
  return SigmoidLoss{}(e).item<double>();
}

}  // namespace

TEST_CASE("The sigmoid loss has OpenCLIP's value on a worked example", "[loss][cpu]") {
  CHECK(value(with_bias(test::golden_embeddings(10.0), -10.0)) ==
        Approx(1.649195247).epsilon(1e-6));
}

TEST_CASE("The sigmoid loss equals loops in float64", "[loss][cpu]") {
  torch::manual_seed(1);
  for (const auto batch : {1, 2, 33})
    for (const double scale : {1.0, 10.0, 100.0}) {
      const auto e = with_bias(test::random_embeddings(batch, 16, scale), -scale);
      CHECK(value(e) == Approx(test::sigmoid_loss_by_loops(e)).epsilon(2e-6));
    }
}

TEST_CASE("The sigmoid loss's gradients equal finite differences in float64", "[loss][cpu]") {
  CHECK(test::gradient_error(SigmoidLoss{}, test::sigmoid_loss_by_loops, true) < 2e-6);
}

TEST_CASE("The sigmoid loss does not care about order and sides", "[loss][cpu]") {
  torch::manual_seed(7);
  const auto e = with_bias(test::random_embeddings(12, 5, 10.0), -10.0);
  const auto order = torch::randperm(12);
  CHECK(value({e.x.index({order}), e.y.index({order}), e.scale, e.bias}) ==
        Approx(value(e)).epsilon(1e-6));
  CHECK(value({e.y, e.x, e.scale, e.bias}) == Approx(value(e)).epsilon(1e-6));
}

TEST_CASE("The sigmoid loss stays accurate for pairs with large logits", "[loss][cpu]") {
  const auto x = torch::ones({1, 1});
  // -log sigmoid(40) = 4.2e-18: softplus(z) - z would round to 0.
  CHECK(value({x, x, torch::tensor(50.0F), torch::tensor(-10.0F)}) ==
        Approx(std::log1p(std::exp(-40.0))).epsilon(1e-5));
}

TEST_CASE("The sigmoid loss computes in float32 under bf16 autocast", "[loss][cpu]") {
  torch::manual_seed(10);
  const auto e = with_bias(test::random_embeddings(64, 32, 100.0), -10.0);
  const double exact = value(e);
  const AutocastGuard autocast(precision_policy("bf16"), at::kCPU);
  REQUIRE(e.x.mm(e.y.t()).scalar_type() == torch::kBFloat16);
  const auto loss = SigmoidLoss{}(e);
  CHECK(loss.scalar_type() == torch::kFloat);
  CHECK(loss.item<double>() == exact);
}

TEST_CASE("The sigmoid loss refuses a missing bias and shapes that do not fit", "[loss][cpu]") {
  const auto e = test::random_embeddings(3, 2, 1.0);
  CHECK_THROWS_WITH(value(e), Contains("initial_logit_bias"));
  CHECK_THROWS_WITH(value({e.x, e.y.narrow(0, 0, 2), e.scale, e.scale}),
                    Contains("x [3, 2]") && Contains("y [2, 2]"));
}
