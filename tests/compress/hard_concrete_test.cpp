// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/compress/hard_concrete.hpp"

#include <cmath>
#include <vector>

#include "support/catch.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;

TEST_CASE("A hard-concrete gate is the formula of the paper", "[compress][cpu]") {
  const HardConcrete gates;
  const auto log_alpha = torch::linspace(-4.6, 4.6, 47, at::kDouble);
  for (const double u : {0.0, 1e-7, 0.02, 0.3, 0.5, 0.8, 0.999, 1.0}) {
    const auto sample = gates.sample(log_alpha, torch::full({47}, u, at::kDouble));
    for (std::int64_t i = 0; i < 47; ++i) {
      const double a = log_alpha[i].item<double>(), v = std::min(std::max(u, 1e-6), 1 - 1e-6);
      const auto gate = [&](double location) {
        const double s = 1 / (1 + std::exp(-(std::log(v / (1 - v)) + location) / (2.0 / 3.0)));
        return std::min(1.0, std::max(0.0, s * 1.2 - 0.1));
      };
      CHECK(sample.gate[i].item<double>() == Approx(gate(a)).margin(1e-12));
      const double step = 1e-6;  // No gate of this table is within a step of being clipped.
      CHECK(sample.slope[i].item<double>() ==
            Approx((gate(a + step) - gate(a - step)) / (2 * step)).margin(1e-8));
    }
  }
}

TEST_CASE("The probability that a gate is open is that of its samples", "[compress][cpu]") {
  const HardConcrete gates;
  torch::manual_seed(5);
  const std::int64_t samples = 400'000;
  const auto uniform = torch::rand({samples}, at::kDouble);
  for (const double a : {-3.0, -1.599, 0.0, 2.0}) {
    const auto log_alpha = torch::full({1}, a, at::kDouble);
    const double p = gates.open_probability(log_alpha).item<double>();
    CHECK(p == Approx(1 / (1 + std::exp(-(a + 2.0 / 3.0 * std::log(11.0))))).epsilon(1e-12));
    const auto sample = gates.sample(log_alpha, uniform);
    // Five standard deviations of the mean of a Bernoulli variable.
    const double bound = 5 * std::sqrt(p * (1 - p) / static_cast<double>(samples));
    CHECK(sample.gate.ne(0).to(at::kDouble).mean().item<double>() == Approx(p).margin(bound));

    // The mean of the slopes is the derivative of the mean gate, because clipping is continuous.
    // Both sides use the same random numbers, so the difference is that of the finite step alone.
    const double step = 1e-4;
    const double above = gates.sample(log_alpha + step, uniform).gate.mean().item<double>();
    const double below = gates.sample(log_alpha - step, uniform).gate.mean().item<double>();
    CHECK(sample.slope.mean().item<double>() == Approx((above - below) / (2 * step)).margin(1e-4));
  }
}

TEST_CASE("The derivative of the open probability matches its differences", "[compress][cpu]") {
  const HardConcrete gates;
  const auto log_alpha = torch::linspace(-4.6, 4.6, 31, at::kDouble);
  const double step = 1e-5;
  const auto differences =
      (gates.open_probability(log_alpha + step) - gates.open_probability(log_alpha - step)) /
      (2 * step);
  CHECK((gates.open_probability_slope(log_alpha) - differences).abs().max().item<double>() < 1e-9);
  // A gate that is clamped to probability 1 - 1e-6 can still close.
  CHECK(gates.open_probability_slope(torch::full({1}, 20.0, at::kDouble)).item<double>() > 0.0);
  CHECK(gates.kept_value(torch::zeros({1})).item<double>() == Approx(0.5));
  CHECK(gates.kept_value(torch::full({1}, 2.0)).item<double>() ==
        Approx(1 / (1 + std::exp(-2.4))).epsilon(1e-6));
}
