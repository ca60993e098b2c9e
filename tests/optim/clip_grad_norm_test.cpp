// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/optim/clip_grad_norm.hpp"

#include "support/catch.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

std::vector<at::Tensor> with_gradients(const std::vector<at::ScalarType>& kinds) {
  torch::manual_seed(3);
  std::vector<at::Tensor> parameters;
  for (const auto kind : kinds) {
    parameters.push_back(torch::zeros({7, 3}, kind).requires_grad_(true));
    parameters.back().mutable_grad() = torch::randn({7, 3}).to(kind);
  }
  return parameters;
}

double norm_of(const std::vector<at::Tensor>& parameters) {
  double sum = 0.0;
  for (const auto& p : parameters)
    if (p.grad().defined()) sum += p.grad().to(torch::kDouble).square().sum().item<double>();
  return std::sqrt(sum);
}

}  // namespace

TEST_CASE("Clipping equals LibTorch's and returns the norm before clipping", "[optim][cpu]") {
  const double max_norm = GENERATE(0.5, 1.0, 1000.0);
  const auto ours = with_gradients({torch::kFloat, torch::kFloat, torch::kFloat});
  const auto theirs = with_gradients({torch::kFloat, torch::kFloat, torch::kFloat});
  const double before = norm_of(ours);
  const auto norm = clip_grad_norm_(ours, max_norm);
  const double expected = torch::nn::utils::clip_grad_norm_(theirs, max_norm);
  CHECK(norm.dim() == 0);
  CHECK(norm.item<double>() == Approx(before).epsilon(1e-6));
  CHECK(norm.item<double>() == Approx(expected).epsilon(1e-6));
  for (std::size_t i = 0; i < ours.size(); ++i)
    CHECK(test::close(ours[i].grad(), theirs[i].grad()));
  CHECK(norm_of(ours) == Approx(std::min(before, max_norm)).epsilon(1e-5));
}

TEST_CASE("Clipping takes all dtypes together and skips missing gradients", "[optim][cpu]") {
  auto parameters = with_gradients({torch::kFloat, torch::kBFloat16, torch::kFloat});
  parameters.push_back(torch::zeros({2}).requires_grad_(true));
  const double before = norm_of(parameters);
  CHECK(clip_grad_norm_(parameters, 1.0).item<double>() == Approx(before).epsilon(1e-5));
  CHECK(norm_of(parameters) == Approx(1.0).epsilon(5e-3));
  CHECK(parameters[1].grad().scalar_type() == torch::kBFloat16);
  CHECK_FALSE(parameters[3].grad().defined());

  const auto doubles = with_gradients({torch::kDouble, torch::kFloat});
  CHECK(clip_grad_norm_(doubles, 1.0).scalar_type() == torch::kDouble);
}

TEST_CASE("Clipping without any gradient finds the norm 0", "[optim][cpu]") {
  CHECK(clip_grad_norm_({torch::zeros({2}).requires_grad_(true)}, 1.0).item<double>() == 0.0);
  CHECK(clip_grad_norm_({}, 1.0).item<double>() == 0.0);
}

TEST_CASE("Clipping passes on a gradient that is not finite", "[optim][cpu]") {
  const auto parameters = with_gradients({torch::kFloat, torch::kFloat});
  parameters[0].mutable_grad()[0][0] = NAN;
  CHECK(std::isnan(clip_grad_norm_(parameters, 1.0).item<double>()));
  CHECK(parameters[1].grad().isnan().all().item<bool>());
}

TEST_CASE("A largest norm of 0 is refused", "[optim][cpu]") {
  CHECK_THROWS_WITH(clip_grad_norm_({}, 0.0), Contains("max_norm (0)"));
}
