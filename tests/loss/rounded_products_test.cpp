// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/autograd/memory_meter.hpp"
#include "contrapunto/loss/nt_xent.hpp"
#include "contrapunto/loss/tiled_info_nce.hpp"
#include "contrapunto/loss/tiled_sigmoid_loss.hpp"
#include "loss/on_device.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;

// The computation of CUDA, including 16-bit products. TileTesting::emulate_cuda_rounding runs it on
// the CPU, so everything except the kernels themselves is tested without a GPU.

namespace {

TileOptions tiles_of(at::ScalarType products, double keep = 0.0, std::int64_t rows = 37,
                     std::int64_t columns = 52) {
  return {.rows = rows,
          .columns = columns,
          .keep_bytes = keep,
          .matmul_dtype = products,
          .testing = {.emulate_cuda_rounding = true}};
}

/// Calls `check(loss, dense, plain, e)` for every loss: tiled, dense in float64, and plain in
/// `products`.
template <class Check>
void for_each_loss(const TileOptions& tiles, const Embeddings& e, const Check& check) {
  const auto products = tiles.matmul_dtype;
  check(
      TiledInfoNce({.tiles = tiles}), test::dense_symmetric,
      [=](const Embeddings& d) { return test::autocast_info_nce(d, products, true); },
      test::without_bias(e));
  check(
      TiledInfoNce({.tiles = tiles, .symmetric = false}), test::dense_rows,
      [=](const Embeddings& d) { return test::autocast_info_nce(d, products, false); },
      test::without_bias(e));
  check(
      TiledSigmoidLoss({.tiles = tiles}), test::dense_sigmoid,
      [=](const Embeddings& d) { return test::autocast_sigmoid(d, products); }, e);
  if (!e.negatives)
    check(
        NtXent(tiles), test::dense_views,
        [=](const Embeddings& d) { return test::autocast_views(d, products); },
        test::without_bias(e));
}

/// Checks that the error is at most that of the plain loss in the same dtype, plus a few roundings.
void check_accuracy(torch::Device device, const TileOptions& tiles, const Embeddings& e) {
  const auto rounded = test::leaves(e, torch::kFloat);
  const double floor = e.scale.item<double>() / static_cast<double>(e.x.size(0));
  for_each_loss(tiles, rounded,
                [&](const auto& loss, const auto& dense, const auto& plain, const Embeddings& d) {
                  const auto expected = test::evaluate(dense, d, torch::kDouble);
                  const double naive =
                      test::worst_error(test::evaluate(plain, d, torch::kFloat), expected, floor);
                  const double error = test::worst_error(
                      test::evaluate_on(device, loss, d, torch::kFloat), expected, floor);
                  INFO("n " << e.x.size(0) << ", scale " << e.scale.item<double>() << ", "
                            << tiles.matmul_dtype << ", kept " << tiles.keep_bytes << ": error "
                            << error << ", plain " << naive);
                  // Plain code may be exact by chance, and the rounding of a logit grows with the
                  // scale.
                  const double tolerance = test::tolerance(tiles.matmul_dtype);
                  CHECK(error <= naive + 0.25 * tolerance +
                                     std::max(1e-7, 1e-3 * tolerance) * e.scale.item<double>());
                });
}

void check_all_sizes(torch::Device device) {
  for (const auto products : {torch::kFloat, torch::kBFloat16, torch::kHalf})
    for (const auto n : {1, 2, 127, 300})
      for (const double scale : {1.0, 14.3, 100.0})
        for (const double keep : {0.0, 1e9}) {
          const auto e = test::trained_pairs(n, scale);
          check_accuracy(device, tiles_of(products, keep), e);
          if (n < 200) check_accuracy(device, tiles_of(products, keep), test::with_candidates(e));
        }
}

/// Features that bf16 represents exactly are not rounded, so the loss is as exact as in float32.
void check_exact_forward(torch::Device device) {
  for (const double scale : {1.0, 14.3, 100.0}) {
    auto e = test::trained_pairs(127, scale);
    e.x = e.x.to(torch::kBFloat16).to(torch::kDouble);
    e.y = e.y.to(torch::kBFloat16).to(torch::kDouble);
    for_each_loss(
        tiles_of(torch::kBFloat16), e,
        [&](const auto& loss, const auto& dense, const auto&, const Embeddings& d) {
          const double expected = test::evaluate(dense, d, torch::kDouble).value;
          const double value = test::evaluate_on(device, loss, d, torch::kFloat).value;
          CHECK(std::abs(value - expected) < (1e-6 + 1e-7 * scale) * std::max(1.0, expected));
        });
  }
}

/// A factor on the loss does not push gradients out of the range of 16-bit numbers.
void check_factors(torch::Device device) {
  const auto e = test::trained_pairs(200, 14.3);
  for (const auto products : {torch::kBFloat16, torch::kHalf})
    for_each_loss(
        tiles_of(products), e,
        [&](const auto& loss, const auto&, const auto&, const Embeddings& d) {
          const auto whole = test::evaluate_on(device, loss, d, torch::kFloat);
          for (const double factor : {65536.0, 1e-9}) {
            const auto scaled = test::evaluate_on(device, loss, d, torch::kFloat, factor);
            CHECK(test::worst_error(scaled, whole, 1e-6) < 0.1 * test::tolerance(products));
          }
        });
}

/// Above the bound the sums are inspected, and computed relative to maxima where they vanish.
void check_low_similarities(torch::Device device) {
  auto e = test::without_bias(test::trained_pairs(64, 100.0));
  e.y = e.y + 3.0 * e.y.mean(0, true) / e.y.mean(0, true).norm();
  e.y = e.y / e.y.norm(2, {1}, true);
  const auto opposite = -e.y.mean(0);
  e.x[0] = opposite / opposite.norm();
  REQUIRE((e.x[0].unsqueeze(0).mm(e.y.t()).max() < -0.65).item<bool>());
  for (const auto products : {torch::kFloat, torch::kBFloat16, torch::kHalf})
    check_accuracy(device, tiles_of(products), [&] {
      auto with = e;
      with.bias = torch::tensor(-5.0, torch::kDouble);
      return with;
    }());
}

/// Peaks at n / 4, n / 2 and n pairs of 64 features lie on a line, far below the matrix of all
/// pairs.
void check_memory(torch::Device device, std::int64_t n) {
  const auto peak = [&](std::int64_t pairs, const auto& loss) {
    auto e = test::moved(test::leaves(test::trained_pairs(pairs, 14.3, 64), torch::kFloat), device);
    e.x = e.x.detach().requires_grad_(true);
    e.y = e.y.detach().requires_grad_(true);
    const MemoryMeter meter;
    loss(e).backward();
    return static_cast<double>(meter.peak_bytes(device.type()));
  };
  const auto check = [&](const auto& loss) {
    peak(n / 4, loss);  // cuBLAS takes its workspace at the first product and keeps it
    const double a = peak(n / 4, loss), b = peak(n / 2, loss), c = peak(n, loss);
    const double features = static_cast<double>(n) * 64 * 4;
    INFO(a << ", " << b << ", " << c << " bytes; features of one side " << features);
    CHECK(c - b < 2.2 * (b - a));
    CHECK(c < 10 * features + 2e6);
    CHECK(10 * features + 2e6 < 0.5 * static_cast<double>(n * n) * 4);
  };
  const auto tiles = tiles_of(torch::kBFloat16, 0.0, 256, 256);
  check(TiledInfoNce({.tiles = tiles}));
  check(TiledSigmoidLoss({.tiles = tiles}));
  check(NtXent(tiles));
}

}  // namespace

TEST_CASE("16-bit products are no farther from float64 than plain code under autocast",
          "[loss][cpu]") {
  check_all_sizes(torch::kCPU);
}

TEST_CASE("Features that bf16 represents exactly lose nothing in the forward", "[loss][cpu]") {
  check_exact_forward(torch::kCPU);
}

TEST_CASE("16-bit tiles hold the gradients of a loss that is multiplied by any factor",
          "[loss][cpu]") {
  check_factors(torch::kCPU);
}

TEST_CASE("Rows of low similarity do not underflow with 16-bit products", "[loss][cpu]") {
  check_low_similarities(torch::kCPU);
}

TEST_CASE("The CPU ignores the dtype of the products unless it emulates CUDA's rounding",
          "[loss][cpu]") {
  const auto e = test::without_bias(test::trained_pairs(40, 14.3));
  const auto value = [&](TileOptions tiles) {
    return test::evaluate(TiledInfoNce({.tiles = tiles}), e, torch::kFloat).value;
  };
  CHECK(value({.matmul_dtype = torch::kBFloat16}) == value({}));
  CHECK(value(tiles_of(torch::kBFloat16)) != value(tiles_of(torch::kFloat)));
  // float64 is never rounded.
  const auto exact = test::evaluate(test::dense_symmetric, e, torch::kDouble);
  const TiledInfoNce rounded({.tiles = tiles_of(torch::kBFloat16)});
  CHECK(test::worst_error(test::evaluate(rounded, e, torch::kDouble), exact, 1e-3) < 1e-12);
}

TEST_CASE("16-bit products take no memory that grows with the square of the batch", "[loss][cpu]") {
  check_memory(torch::kCPU, 2048);
}

TEST_CASE("Ranks with emulated CUDA rounding give the gradients of the whole batch",
          "[loss][cpu]") {
  for (const auto products : {torch::kFloat, torch::kBFloat16, torch::kHalf})
    for (const bool ring : {false, true}) {
      const auto e =
          test::leaves(test::with_candidates(test::trained_pairs(60, 14.3)), torch::kFloat);
      const double limit = products == torch::kFloat ? 2e-5 : test::tolerance(products);
      const auto check = [&](const auto& make_loss, const auto& one, const Embeddings& d) {
        const auto whole = test::evaluate(one, d, torch::kFloat);
        INFO(products << ", ring " << ring);
        CHECK(test::worst_error(test::evaluate_on_ranks(make_loss, d, 3), whole, 0.1) < limit);
      };
      const auto tiles = tiles_of(products);
      check([&](const auto& rank) { return TiledInfoNce({.tiles = tiles, .ring = ring}, rank); },
            TiledInfoNce({.tiles = tiles}), test::without_bias(e));
      check(
          [&](const auto& rank) { return TiledSigmoidLoss({.tiles = tiles, .ring = ring}, rank); },
          TiledSigmoidLoss({.tiles = tiles}), e);
    }
}

TEST_CASE("Tiled losses on CUDA agree with float64 in every dtype of products", "[loss][gpu]") {
  if (!torch::cuda::is_available()) {
    WARN("no CUDA device: skipped");
    return;
  }
  check_all_sizes(torch::kCUDA);
  check_exact_forward(torch::kCUDA);
  check_factors(torch::kCUDA);
  check_low_similarities(torch::kCUDA);
  // The default tiles of the device, with one row of a strip left over.
  const auto e = test::trained_pairs(1001, 14.3);
  for (const auto products : {torch::kFloat, torch::kBFloat16, torch::kHalf}) {
    check_accuracy(torch::kCUDA, {.matmul_dtype = products}, e);
    check_accuracy(torch::kCUDA, tiles_of(products, 0.0, 500, 1000), e);
    check_accuracy(torch::kCUDA, tiles_of(products, 1e9, 250, 250), e);
  }
}

TEST_CASE("Tiled losses on CUDA give the same bits from run to run", "[loss][gpu]") {
  if (!torch::cuda::is_available()) {
    WARN("no CUDA device: skipped");
    return;
  }
  const auto e = test::trained_pairs(3000, 14.3, 128);
  for (const auto products : {torch::kFloat, torch::kBFloat16})
    for_each_loss(tiles_of(products, 1e6, 1024, 1024), e,
                  [&](const auto& loss, const auto&, const auto&, const Embeddings& d) {
                    const auto once = test::evaluate_on(torch::kCUDA, loss, d, torch::kFloat);
                    for (int repeat = 0; repeat < 3; ++repeat) {
                      const auto again = test::evaluate_on(torch::kCUDA, loss, d, torch::kFloat);
                      CHECK(again.value == once.value);
                      for (std::size_t i = 0; i < once.gradients.size(); ++i)
                        CHECK(again.gradients[i].equal(once.gradients[i]));
                    }
                  });
}

TEST_CASE("The memory of a tiled loss on CUDA grows with the batch, not with its square",
          "[loss][gpu]") {
  if (!torch::cuda::is_available()) {
    WARN("no CUDA device: skipped");
    return;
  }
  check_memory(torch::kCUDA, 8192);
}
