// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "support/catch.hpp"

#include <ATen/autocast_mode.h>

#include "contrapunto/nn/layer_norm.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;

namespace {

at::Tensor naive(const at::Tensor& x, const LayerNorm& norm, double eps) {
  const auto z = x.to(at::kDouble);
  const auto centered = z - z.mean(-1, true);
  return centered / (centered.square().mean(-1, true) + eps).sqrt() * norm->weight.to(at::kDouble) +
         norm->bias.to(at::kDouble);
}

}  // namespace

TEST_CASE("Layer norm keeps the input's dtype and takes its statistics in float32", "[nn][cpu]") {
  torch::manual_seed(2);
  LayerNorm norm(64, 1e-6);
  const at::NoGradGuard no_grad;
  norm->weight.normal_();
  norm->bias.normal_();
  // At an offset of 200 adjacent bfloat16 numbers differ by 1, so statistics in 16 bits would be
  // far off.
  for (const auto weight_dtype : {at::kFloat, at::kBFloat16})
    for (const auto dtype : {at::kFloat, at::kBFloat16}) {
      norm->to(weight_dtype);
      const auto x = (torch::randn({32, 64}) * 8 + 200).to(dtype);
      const auto y = norm(x);
      CHECK(y.scalar_type() == dtype);
      CHECK(test::close(y, naive(x, norm, 1e-6), dtype == at::kFloat ? 20 : 1));
    }
}

TEST_CASE("Layer norm is the same with and without autocast", "[nn][cpu]") {
  torch::manual_seed(3);
  LayerNorm norm(32);
  const auto x = torch::randn({8, 32}).to(at::kBFloat16);
  const auto expected = norm(x);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  const auto y = norm(x);
  at::autocast::set_autocast_enabled(at::kCPU, false);
  CHECK(y.scalar_type() == at::kBFloat16);
  CHECK(at::equal(y, expected));
}
