// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/precision/loss_scaler.hpp"

#include <cmath>

#include "contrapunto/optim/adamw.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

LossScaler scaler(LossScalerOptions options = {}) {
  return {precision_policy("fp16"), at::kCPU, options};
}

at::Tensor with_gradient(double gradient, at::ScalarType kind = torch::kFloat) {
  const auto parameter = torch::zeros({3}, kind).requires_grad_(true);
  parameter.mutable_grad() = torch::full({3}, gradient, torch::TensorOptions(kind));
  return parameter;
}

/// One round with gradients that overflow or not.
void round_of(LossScaler& scaler, bool overflow) {
  const auto found = scaler.unscale_({with_gradient(1.0), with_gradient(overflow ? NAN : 1.0)});
  CHECK((found->item<double>() > 0.0) == overflow);
  scaler.update();
}

}  // namespace

TEST_CASE("The loss scale grows, backs off and starts as Python's GradScaler", "[precision][cpu]") {
  CHECK(scaler().current_scale() == 65536.0);
  // Scales that torch.amp.GradScaler("cpu", init_scale=8, growth_interval=3) has after each round.
  auto s = scaler({.initial_scale = 8.0, .growth_interval = 3});
  const std::vector<std::pair<bool, double>> rounds{
      {false, 8}, {false, 8}, {false, 16}, {true, 8},  {false, 8}, {false, 8},
      {true, 4},  {false, 4}, {false, 4},  {false, 8}, {true, 4},  {true, 2},
      {false, 2}, {false, 2}, {false, 4},  {false, 4}, {false, 4}, {false, 8}};
  for (const auto& [overflow, scale] : rounds) {
    round_of(s, overflow);
    CHECK(s.current_scale() == scale);
  }
}

TEST_CASE("Scaling and unscaling leave the gradients as they were", "[precision][cpu]") {
  auto s = scaler();
  const auto x = torch::tensor({1e-9F, 2.0F, -3.0F}).requires_grad_(true);
  const auto unused = torch::zeros({2}).requires_grad_(true);
  s.scale((x * x).sum()).backward();
  CHECK(x.grad()[1].item<double>() == 4.0 * 65536);
  const auto found = s.unscale_({x, unused});
  CHECK(torch::equal(x.grad(), 2 * x.detach()));
  REQUIRE(found.has_value());
  CHECK(found->item<double>() == 0.0);
  CHECK(found->dim() == 0);
}

TEST_CASE("A step with an overflow is skipped, and the next step is taken", "[precision][cpu]") {
  auto s = scaler();
  const auto p = with_gradient(1.0);
  AdamW optimizer({{"g", {p}, {"p"}, 0.0}});
  const auto step = [&](double gradient) {
    p.mutable_grad() = torch::full({3}, gradient * s.current_scale());
    const auto found_inf = s.unscale_({p});
    optimizer.step(0.5, {.found_inf = found_inf});
    s.update();
    return p[0].item<double>();
  };
  CHECK(step(INFINITY) == 0.0);
  CHECK(s.current_scale() == 32768.0);
  CHECK(step(1.0) == Approx(-0.5));
}

TEST_CASE("Without a loss scaler in the policy, LossScaler changes nothing", "[precision][cpu]") {
  LossScaler s(precision_policy("bf16"), at::kCPU);
  const auto loss = torch::tensor(2.0F);
  CHECK(s.scale(loss).is_same(loss));
  const auto p = with_gradient(INFINITY);
  CHECK_FALSE(s.unscale_({p}).has_value());
  CHECK_FALSE(s.unscale_({p}).has_value());
  s.update();
  CHECK(s.current_scale() == 1.0);
  CHECK(s.save_state().scalars.empty());
  s.load_state(scaler().save_state());
  CHECK_FALSE(s.enabled());
  CHECK_THROWS_WITH(scaler().load_state(s.save_state()), Contains("'scale'"));
}

TEST_CASE("The loss scaler resumes from a saved state", "[precision][cpu]") {
  const LossScalerOptions options{.initial_scale = 4.0, .growth_interval = 3};
  auto first = scaler(options), second = scaler(options);
  round_of(first, true);
  round_of(first, false);
  round_of(first, false);
  second.load_state(first.save_state());
  CHECK(second.current_scale() == 2.0);
  round_of(second, false);
  CHECK(second.current_scale() == 4.0);  // the third in a row, two of them before the save
}

TEST_CASE("The loss scaler refuses to be used in the wrong order or with fp16 gradients",
          "[precision][cpu]") {
  auto s = scaler();
  CHECK_THROWS_WITH(s.update(), Contains("without unscale_()"));
  CHECK_THROWS_WITH(s.unscale_({with_gradient(1.0, torch::kHalf)}), Contains("fp16"));
  (void)s.unscale_({with_gradient(1.0)});
  CHECK_THROWS_WITH(s.unscale_({with_gradient(1.0)}), Contains("twice"));
  CHECK_THROWS_WITH(scaler({.backoff_factor = 1.5}), Contains("backoff_factor (1.5)"));
}
