// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/kernels/detail/pair_tiles.hpp"

#include "kernels/pair_tile_checks.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("ATen's operations on a tile agree with float64", "[kernels][cpu]") {
  test::check_tiles(test::TileApi{torch::kCPU}, 800000);
}

TEST_CASE("A tile without pairs changes nothing", "[kernels][cpu]") {
  auto z = torch::empty({0, 5});
  const auto rows = torch::empty({0}), columns = torch::ones({5});
  contrapunto::detail::exp_sums_(z, {}, 0.0, {}, rows, columns, {});
  REQUIRE(columns.equal(torch::ones({5})));
}

TEST_CASE("The CUDA kernels of tiles agree with float64", "[kernels][gpu]") {
  if (!torch::cuda::is_available()) {
    WARN("no CUDA device: skipped");
    return;
  }
  test::check_tiles(test::TileApi{torch::kCUDA}, 10000000);
}

TEST_CASE("The CUDA kernels of tiles give the same bits from run to run", "[kernels][gpu]") {
  if (!torch::cuda::is_available()) {
    WARN("no CUDA device: skipped");
    return;
  }
  torch::manual_seed(5);
  const auto products = (2 * torch::rand({3001, 4096}) - 1).to(torch::kCUDA);
  const auto scale = torch::tensor(14.3F).to(torch::kCUDA);
  const auto bias = torch::tensor(-3.0F).to(torch::kCUDA);
  const auto run = [&] {
    auto z = products.clone();
    const auto rows = torch::zeros({3001}, z.options());
    const auto columns = torch::zeros({4096}, z.options());
    auto loss = torch::zeros({}, z.options().dtype(torch::kDouble));
    auto bias_gradient = torch::zeros_like(loss);
    contrapunto::detail::exp_sums_(z, scale, 0.0, {}, rows, columns, {});
    contrapunto::detail::sigmoid_tile_(z, scale, bias, {}, loss, bias_gradient, 1.0, {}, z);
    return std::vector<at::Tensor>{rows, columns, loss, bias_gradient};
  };
  const auto once = run();
  for (int repeat = 0; repeat < 20; ++repeat) {
    const auto again = run();
    for (std::size_t i = 0; i < once.size(); ++i) CHECK(again[i].equal(once[i]));
  }
}
