// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "support/catch.hpp"

#include "contrapunto/nn/detail/initialize.hpp"
#include "contrapunto/nn/positional_embedding.hpp"
#include "nn/raises.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;

TEST_CASE("Grid positions are resized as torch.nn.functional.interpolate does", "[nn][cpu]") {
  // F.interpolate(torch.arange(9.).reshape(1, 1, 3, 3), size=n, mode="bicubic", antialias=True)
  const auto grid = torch::cat({torch::tensor({{-7.0}}), torch::arange(9.0).view({9, 1})});
  const auto smaller =
      torch::tensor({-7.000000, 1.239165, 2.619582, 5.380417, 6.760834}).view({5, 1});
  const auto larger = torch::tensor({-7.000000, -0.208955, 0.399879, 1.286689, 1.895523, 1.617546,
                                     2.226380, 3.113190, 3.722024, 4.277976, 4.886810, 5.773620,
                                     6.382454, 6.104477, 6.713312, 7.600121, 8.208955})
                          .view({17, 1});
  CHECK(test::close(resize_grid_positions(grid.to(at::kFloat), 1, 2), smaller, 10));
  CHECK(test::close(resize_grid_positions(grid.to(at::kFloat), 1, 4), larger, 10));
}

TEST_CASE("Positions of the right size are returned as they are", "[nn][cpu]") {
  const auto positions = torch::randn({50, 8});
  CHECK(resize_grid_positions(positions, 1, 7).is_same(positions));
  CHECK(resize_text_positions(positions, 50).is_same(positions));
}

TEST_CASE("Positions that do not form a square grid are refused", "[nn][cpu]") {
  CHECK(test::raises(
      [] {
        static_cast<void>(resize_grid_positions(torch::zeros({12, 4}), 1, 7));
      },
      {"[12, 4]", "square"}));
}

TEST_CASE("Text positions are interpolated linearly, half a pixel apart", "[nn][cpu]") {
  const auto positions = torch::tensor({0.0, 1.0, 2.0, 3.0}).view({4, 1});
  CHECK(test::close(resize_text_positions(positions, 2), torch::tensor({0.5, 2.5}).view({2, 1})));
  CHECK(resize_text_positions(positions.to(at::kBFloat16), 3).scalar_type() == at::kBFloat16);
}

TEST_CASE("The cut normal distribution ends at two deviations", "[nn][cpu]") {
  torch::manual_seed(12);
  const auto x = contrapunto::detail::truncated_normal_tensor({200, 500}, 0.5, {});
  CHECK(x.abs().max().item<double>() <= 1.0 + 1e-5);
  CHECK(x.abs().max().item<double>() > 0.99);
  // Variance 1 - 2 a phi(a) / (2 Phi(a) - 1) at a = 2 is 0.77374.
  CHECK(x.std().item<double>() == Approx(0.5 * std::sqrt(0.77374)).epsilon(0.01));
  CHECK(std::abs(x.mean().item<double>()) < 0.01);
}
