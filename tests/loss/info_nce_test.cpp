// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/loss/info_nce.hpp"

#include <cmath>

#include "contrapunto/precision/autocast_guard.hpp"
#include "loss/loss_oracle.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

double value(const Embeddings& e) {
  return InfoNce{}(e).item<double>();
}

}  // namespace

TEST_CASE("InfoNCE has OpenCLIP's value on a worked example", "[loss][cpu]") {
  CHECK(value(test::golden_embeddings(1 / 0.07)) == Approx(0.418931072).epsilon(1e-6));
  CHECK(value(test::golden_embeddings(1.0)) == Approx(1.084877931).epsilon(1e-6));
  CHECK(value(test::golden_embeddings(100.0)) == Approx(2.331084619).epsilon(1e-6));
}

TEST_CASE("InfoNCE's gradient of the log-scale is OpenCLIP's on a worked example", "[loss][cpu]") {
  auto e = test::golden_embeddings(1.0);
  const auto log_scale = torch::tensor(std::log(1 / 0.07), torch::kFloat).requires_grad_(true);
  e.scale = log_scale.exp();
  InfoNce{}(e).backward();
  CHECK(log_scale.grad().item<double>() == Approx(0.191663695).epsilon(5e-6));
}

TEST_CASE("InfoNCE equals loops in float64", "[loss][cpu]") {
  torch::manual_seed(1);
  for (const auto batch : {2, 7, 32})
    for (const double scale : {1.0, 14.3, 100.0}) {
      const auto e = test::random_embeddings(batch, 16, scale);
      CHECK(value(e) == Approx(test::info_nce_by_loops(e)).epsilon(2e-6));
    }
}

TEST_CASE("InfoNCE's gradients equal finite differences in float64", "[loss][cpu]") {
  CHECK(test::gradient_error(InfoNce{}, test::info_nce_by_loops, false) < 2e-6);
}

TEST_CASE("InfoNCE does not care in which order the pairs come", "[loss][cpu]") {
  torch::manual_seed(7);
  const auto e = test::random_embeddings(12, 5, 20.0);
  const auto order = torch::randperm(12);
  CHECK(value({e.x.index({order}), e.y.index({order}), e.scale, {}}) ==
        Approx(value(e)).epsilon(1e-6));
}

TEST_CASE("InfoNCE is the same with the towers swapped", "[loss][cpu]") {
  torch::manual_seed(8);
  const auto e = test::random_embeddings(9, 6, 30.0);
  CHECK(value({e.y, e.x, e.scale, {}}) == Approx(value(e)).epsilon(1e-6));
}

TEST_CASE("InfoNCE of identical features is ln B", "[loss][cpu]") {
  const auto x = torch::ones({11, 4}) / 2;
  CHECK(value({x, x, torch::tensor(100.0F), {}}) == Approx(std::log(11.0)).epsilon(1e-6));
}

TEST_CASE("InfoNCE's gradients of features and scale agree with each other", "[loss][cpu]") {
  torch::manual_seed(9);
  auto e = test::random_embeddings(10, 8, 14.3);
  for (auto* tensor : {&e.x, &e.y, &e.scale}) tensor->requires_grad_(true);
  InfoNce{}(e).backward();
  const double log_scale = (e.scale.grad() * e.scale).item<double>();
  CHECK((e.x.grad() * e.x).sum().item<double>() == Approx(log_scale).epsilon(1e-5));
  CHECK((e.y.grad() * e.y).sum().item<double>() == Approx(log_scale).epsilon(1e-5));
}

TEST_CASE("InfoNCE of one pair is 0 and so are its gradients", "[loss][cpu]") {
  auto e = test::random_embeddings(1, 6, 50.0);
  for (auto* tensor : {&e.x, &e.y, &e.scale}) tensor->requires_grad_(true);
  const auto loss = InfoNce{}(e);
  loss.backward();
  CHECK(loss.item<double>() == 0.0);
  CHECK(e.x.grad().abs().max().item<double>() == 0.0);
  CHECK(e.scale.grad().item<double>() == 0.0);
}

TEST_CASE("InfoNCE computes in float32 under bf16 autocast and from bf16 features", "[loss][cpu]") {
  torch::manual_seed(10);
  auto e = test::random_embeddings(64, 32, 100.0);
  const double exact = value(e);
  {
    const AutocastGuard autocast(precision_policy("bf16"), at::kCPU);
    REQUIRE(e.x.mm(e.y.t()).scalar_type() == torch::kBFloat16);  // autocast is really on
    const auto loss = InfoNce{}(e);
    CHECK(loss.scalar_type() == torch::kFloat);
    CHECK(loss.item<double>() == exact);
  }
  e.x = e.x.to(torch::kBFloat16);
  e.y = e.y.to(torch::kBFloat16);
  const auto loss = InfoNce{}(e);
  CHECK(loss.scalar_type() == torch::kFloat);
  CHECK(loss.item<double>() == Approx(test::info_nce_by_loops(e)).epsilon(1e-5));
}

TEST_CASE("InfoNCE names the shapes it cannot use", "[loss][cpu]") {
  const auto scale = torch::tensor(1.0F);
  CHECK_THROWS_WITH(value({torch::ones({4, 3}), torch::ones({5, 3}), scale, {}}),
                    Contains("x [4, 3]") && Contains("y [5, 3]"));
  CHECK_THROWS_WITH(value({torch::ones({4}), torch::ones({4}), scale, {}}), Contains("[B, D]"));
  CHECK_THROWS_WITH(value({torch::ones({0, 3}), torch::ones({0, 3}), scale, {}}),
                    Contains("empty"));
  CHECK_THROWS_WITH(value({torch::ones({2, 3}), torch::ones({2, 3}), torch::ones({2}), {}}),
                    Contains("scale [2]"));
  CHECK_THROWS_WITH(value({torch::ones({2, 3}), {}, scale, {}}), Contains("must all be set"));
}
