// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/precision/autocast_guard.hpp"

#include <thread>

#include "support/catch.hpp"

using namespace contrapunto;

namespace {

at::ScalarType product_dtype() {
  return torch::ones({2, 2}).mm(torch::ones({2, 2})).scalar_type();
}

}  // namespace

TEST_CASE("An AutocastGuard turns autocast on and restores the earlier state", "[precision][cpu]") {
  const auto dtype = at::autocast::get_autocast_dtype(at::kCPU);
  CHECK(product_dtype() == torch::kFloat);
  {
    const AutocastGuard outer(precision_policy("fp16"), at::kCPU);
    CHECK(product_dtype() == torch::kHalf);
    {
      const AutocastGuard inner(precision_policy("bf16"), at::kCPU, /*cache_weights=*/false);
      CHECK(product_dtype() == torch::kBFloat16);
      CHECK_FALSE(at::autocast::is_autocast_cache_enabled());
      const AutocastGuard off(precision_policy("fp32"), at::kCPU);
      CHECK(product_dtype() == torch::kFloat);
    }
    CHECK(product_dtype() == torch::kHalf);
    CHECK(at::autocast::is_autocast_cache_enabled());
  }
  CHECK(product_dtype() == torch::kFloat);
  CHECK_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
  CHECK(at::autocast::get_autocast_dtype(at::kCPU) == dtype);
}

TEST_CASE("An AutocastGuard ends when the forward throws", "[precision][cpu]") {
  CHECK_THROWS([&] {
    const AutocastGuard autocast(precision_policy("bf16"), at::kCPU);
    TORCH_CHECK(false, "no forward");
  }());
  CHECK(product_dtype() == torch::kFloat);
}

TEST_CASE("No cast weight stays in the cache after the outermost AutocastGuard",
          "[precision][cpu]") {
  const auto weight = torch::ones({2, 2}).requires_grad_(true);
  const auto forward = [&] {
    const AutocastGuard autocast(precision_policy("bf16"), at::kCPU);
    {
      const AutocastGuard inner(precision_policy("bf16"), at::kCPU);
      (void)torch::ones({2, 2}).mm(weight);
    }
    return torch::ones({2, 2}).mm(weight)[0][0].item<double>();
  };
  CHECK(forward() == 2.0);
  weight.detach().fill_(3.0);  // as an optimizer step does
  CHECK(forward() == 6.0);
}

TEST_CASE("An AutocastGuard affects only its own thread", "[precision][cpu]") {
  const AutocastGuard autocast(precision_policy("bf16"), at::kCPU);
  at::ScalarType elsewhere{};
  std::thread([&] { elsewhere = product_dtype(); }).join();
  CHECK(elsewhere == torch::kFloat);
}
