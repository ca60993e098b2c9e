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

namespace {

/// The norm over the units with a mask other than 0, which are taken out first.
at::Tensor naive_masked(const at::Tensor& x, const at::Tensor& mask, const at::Tensor& weight,
                        const at::Tensor& bias, double eps, bool masks_output) {
  const auto left = mask.detach().nonzero().squeeze(1);
  const auto take = [&](const at::Tensor& t) { return t.index_select(-1, left); };
  const auto z = take(x * mask);
  const auto centered = z - z.mean(-1, true);
  auto y = centered / (centered.square().mean(-1, true) + eps).sqrt() * take(weight) + take(bias);
  if (masks_output) y = y * take(mask);
  return torch::zeros_like(x).index_copy(-1, left, y);
}

}  // namespace

TEST_CASE("A masked layer norm is the layer norm of the units that are left", "[nn][cpu]") {
  torch::manual_seed(4);
  const double eps = 1e-5;
  for (const auto dtype : {at::kDouble, at::kFloat})
    for (const auto input_dtype : {dtype, at::kBFloat16})
      for (const bool masks_output : {false, true}) {
        CAPTURE(dtype, input_dtype, masks_output);
        LayerNorm norm(24, eps);
        norm->to(dtype);
        {
          const at::NoGradGuard no_grad;
          norm->weight.normal_();
          norm->bias.normal_();
        }
        auto mask = torch::rand({24}, dtype) + 0.1;
        for (const auto removed : {0, 5, 6, 23}) mask[removed] = 0.0;
        norm->mask_units(mask.clone().requires_grad_(), masks_output);
        const auto x = (torch::randn({4, 6, 24}, dtype) * 3 + 1).to(input_dtype).requires_grad_();
        const auto dy = torch::randn({4, 6, 24}, dtype).to(input_dtype);
        const auto y = norm(x);
        REQUIRE(y.scalar_type() == input_dtype);
        y.backward(dy);

        std::vector<at::Tensor> leaves;
        for (const auto& t : {x, mask, norm->weight, norm->bias})
          leaves.push_back(t.detach().to(at::kDouble).requires_grad_());
        const auto expected =
            naive_masked(leaves[0], leaves[1], leaves[2], leaves[3], eps, masks_output);
        expected.backward(dy.to(at::kDouble));
        CHECK(test::close(y, expected, 4));
        CHECK(test::close(x.grad(), leaves[0].grad(), 4));
        CHECK(test::close(norm->weight.grad(), leaves[2].grad(), 8));
        CHECK(test::close(norm->bias.grad(), leaves[3].grad(), 8));
        // Where the mask is 0 the oracle's graph does not reach the mask.
        const auto kept = mask.ne(0).to(dtype);
        CHECK(test::close(norm->unit_mask.grad() * kept, leaves[1].grad(), 8));
        CHECK(y.detach().to(at::kDouble).mul(1 - kept).abs().max().item<double>() == 0.0);
      }
  LayerNorm norm(8);
  CHECK_THROWS_WITH(norm->mask_units(torch::ones({7})),
                    Catch::Matchers::Contains("the mask is Float [7]"));
}
