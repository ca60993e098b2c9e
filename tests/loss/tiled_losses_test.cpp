// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <mutex>

#include "contrapunto/autograd/memory_meter.hpp"
#include "contrapunto/loss/info_nce.hpp"
#include "contrapunto/loss/nt_xent.hpp"
#include "contrapunto/loss/sigmoid_loss.hpp"
#include "contrapunto/loss/tiled_info_nce.hpp"
#include "contrapunto/loss/tiled_sigmoid_loss.hpp"
#include "loss/pair_oracle.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

/// Features in which matching pairs are more similar than others, as after some training.
Embeddings pairs(std::int64_t n, double scale, double likeness = 0.3) {
  torch::manual_seed(n);
  const auto x = test::unit_rows(n, 24);
  const auto y = likeness * x + (1 - likeness) * test::unit_rows(n, 24);
  return {x, y / y.norm(2, {1}, true), torch::tensor(scale, torch::kDouble)};
}

Embeddings with_bias(Embeddings e) {
  e.bias = torch::tensor(-5.0, torch::kDouble);
  return e;
}

Embeddings with_negatives(Embeddings e) {
  const auto n = e.x.size(0);
  e.negatives = test::unit_rows(2 * n + 1, e.x.size(1));
  e.group_ids = torch::arange(n) % std::max<std::int64_t>(1, n - n / 4);
  e.negative_group_ids = torch::arange(2 * n + 1) % (3 * n);
  return e;
}

/// Checks that the error of `tiled` in `dtype`, against the dense loss in float64, is at most the
/// error of the dense loss in the same dtype plus the rounding of a logit.
template <class Tiled, class Dense>
void check_against_dense(const Tiled& tiled, const Dense& dense, const Embeddings& e,
                         at::ScalarType dtype) {
  // The inputs are rounded to the dtype first, so that only the computation is measured.
  Embeddings rounded = test::leaves(e, dtype);
  const auto expected = test::evaluate(dense, rounded, torch::kDouble);
  const auto n = static_cast<double>(e.x.size(0));
  const double floor = e.scale.item<double>() / n;
  const double naive = test::worst_error(test::evaluate(dense, rounded, dtype), expected, floor);
  const double error = test::worst_error(test::evaluate(tiled, rounded, dtype), expected, floor);
  INFO("n " << n << ", scale " << e.scale.item<double>() << ", " << dtype << ": error " << error
            << ", naive " << naive);
  const double logit = dtype == torch::kDouble ? 0.0 : 1e-7 * e.scale.item<double>();
  CHECK(error <=
        1.2 * naive + logit + 2 * test::tolerance(dtype == torch::kDouble ? dtype : torch::kFloat));
}

const TileOptions kSmallTiles{.rows = 37, .columns = 50};

}  // namespace

TEST_CASE("Tiled losses equal the dense ones at every size, scale and dtype", "[loss][cpu]") {
  for (const auto n : {1, 2, 127, 1000})
    for (const double scale : {1.0, 14.3, 100.0})
      for (const auto dtype : {torch::kDouble, torch::kFloat, torch::kBFloat16, torch::kHalf}) {
        if (n == 1000 && dtype == torch::kDouble) continue;
        const auto e = pairs(n, scale);
        check_against_dense(TiledInfoNce({.tiles = kSmallTiles}), test::dense_symmetric, e, dtype);
        check_against_dense(TiledInfoNce({.tiles = kSmallTiles, .symmetric = false}),
                            test::dense_rows, e, dtype);
        check_against_dense(TiledSigmoidLoss({.tiles = kSmallTiles}), test::dense_sigmoid,
                            with_bias(e), dtype);
        check_against_dense(NtXent(kSmallTiles), test::dense_views, e, dtype);
      }
}

TEST_CASE("Negatives and group ids change a tiled loss as they change the dense one",
          "[loss][cpu]") {
  for (const auto n : {1, 2, 127})
    for (const auto dtype : {torch::kDouble, torch::kFloat}) {
      const auto e = with_negatives(pairs(n, 20.0));
      check_against_dense(TiledInfoNce({.tiles = kSmallTiles}), test::dense_symmetric, e, dtype);
      check_against_dense(TiledInfoNce({.tiles = kSmallTiles, .symmetric = false}),
                          test::dense_rows, e, dtype);
      check_against_dense(TiledSigmoidLoss({.tiles = kSmallTiles}), test::dense_sigmoid,
                          with_bias(e), dtype);
    }
}

TEST_CASE("SupCon equals the dense one, and NT-Xent with a key per pair", "[loss][cpu]") {
  for (const auto n : {1, 2, 127}) {
    auto e = pairs(n, 10.0);
    e.group_ids = torch::arange(n) % 7;
    check_against_dense(SupCon(kSmallTiles), test::dense_views, e, torch::kDouble);
    check_against_dense(SupCon(kSmallTiles), test::dense_views, e, torch::kFloat);
    e.group_ids = torch::arange(n);
    const auto a = test::evaluate(SupCon(kSmallTiles), e, torch::kDouble);
    e.group_ids.reset();
    CHECK(test::worst_error(a, test::evaluate(NtXent(kSmallTiles), e, torch::kDouble), 1e-3) <
          1e-12);
  }
}

TEST_CASE("The size of tiles and kept exponentials do not change the result", "[loss][cpu]") {
  const auto e = with_bias(pairs(130, 14.3));
  const auto expected = test::evaluate(TiledInfoNce(), e, torch::kDouble);
  const auto views = test::evaluate(NtXent(), e, torch::kDouble);
  const auto sigmoid = test::evaluate(TiledSigmoidLoss(), e, torch::kDouble);
  for (const auto rows : {1, 32, 130, 500})
    for (const auto columns : {1, 64, 999})
      for (const double keep : {0.0, 20e3, 1e9}) {
        if (rows == 1 && columns == 1) continue;
        const TileOptions tiles{.rows = rows, .columns = columns, .keep_bytes = keep};
        const auto check = [&](const auto& loss, const test::LossResult& whole) {
          CHECK(test::worst_error(test::evaluate(loss, e, torch::kDouble), whole, 1e-6) < 1e-12);
        };
        check(TiledInfoNce({.tiles = tiles}), expected);
        check(NtXent(tiles), views);
        check(TiledSigmoidLoss({.tiles = tiles}), sigmoid);
      }
}

TEST_CASE("Kept exponentials are used and equal those that are recomputed", "[loss][cpu]") {
  const auto e = test::leaves(pairs(60, 14.3), torch::kFloat);
  const auto gradient = [&](double keep) {
    const auto loss = TiledInfoNce({.tiles = {.rows = 16, .columns = 16, .keep_bytes = keep}})(e);
    return torch::autograd::grad({loss}, {e.x}).front();
  };
  CHECK(gradient(1e9).equal(gradient(0.0)));
  CHECK(gradient(3000).equal(gradient(0.0)));
}

TEST_CASE("Rows whose every similarity is low do not underflow", "[loss][cpu]") {
  // Row 0 points away from everything: with the offset of scale 100 its sum is 0 in float32.
  auto e = pairs(64, 100.0, 0.8);
  const auto opposite = -e.y.mean(0);
  e.y = e.y + 3.0 * e.y.mean(0, true) / e.y.mean(0, true).norm();
  e.y = e.y / e.y.norm(2, {1}, true);
  e.x[0] = opposite / opposite.norm();
  REQUIRE((e.x[0].unsqueeze(0).mm(e.y.t()).max() < -0.65).item<bool>());
  check_against_dense(TiledInfoNce({.tiles = kSmallTiles}), test::dense_symmetric, e,
                      torch::kFloat);
  // The same for columns.
  std::swap(e.x, e.y);
  check_against_dense(TiledInfoNce({.tiles = kSmallTiles}), test::dense_symmetric, e,
                      torch::kFloat);
  // Both views of one sample point away from all other rows.
  e.y[0] = e.x[0] = -e.x.mean(0) / e.x.mean(0).norm();
  check_against_dense(NtXent(kSmallTiles), test::dense_views, e, torch::kFloat);
  // Logits overflow exp, because the rows of the features do not have unit length.
  e = pairs(20, 100.0);
  e.x = e.x * 5;
  check_against_dense(TiledInfoNce({.tiles = kSmallTiles}), test::dense_symmetric, e,
                      torch::kFloat);
}

TEST_CASE("Ranks give the loss and the gradients of the whole batch", "[loss][cpu]") {
  for (const auto ranks : {1, 2, 4})
    for (const auto n : {1, 2, 127})
      for (const bool extras : {false, true})
        for (const bool ring : {false, true})
          for (const double scale : {1.0, 100.0}) {
            auto e = with_bias(pairs(n, scale));
            if (extras) e = with_negatives(e);
            INFO(ranks << " ranks, n " << n << ", ring " << ring << ", scale " << scale);
            const auto check = [&](const auto& make_loss, const auto& dense) {
              const auto expected = test::evaluate(dense, e, torch::kDouble);
              CHECK(test::worst_error(test::evaluate_on_ranks(make_loss, e, ranks), expected,
                                      scale / static_cast<double>(n)) < 1e-11);
            };
            check(
                [&](const auto& rank) {
                  return TiledInfoNce({.tiles = kSmallTiles, .ring = ring}, rank);
                },
                [](Embeddings d) {
                  d.bias.reset();
                  return test::dense_symmetric(d);
                });
            check(
                [&](const auto& rank) {
                  return TiledSigmoidLoss({.tiles = kSmallTiles, .ring = ring}, rank);
                },
                test::dense_sigmoid);
          }
}

TEST_CASE("NT-Xent and SupCon over ranks equal the dense losses of the whole batch",
          "[loss][cpu]") {
  for (const auto ranks : {2, 4})
    for (const auto n : {1, 2, 127})
      for (const double scale : {1.0, 100.0}) {
        auto e = pairs(n, scale);
        INFO(ranks << " ranks, n " << n << ", scale " << scale);
        const auto check = [&](const auto& make_loss) {
          const auto expected = test::evaluate(test::dense_views, e, torch::kDouble);
          CHECK(test::worst_error(test::evaluate_on_ranks(make_loss, e, ranks), expected,
                                  scale / static_cast<double>(n)) < 1e-11);
        };
        check([](const auto& rank) { return NtXent(kSmallTiles, rank); });
        e.group_ids = torch::arange(n) % 7;
        check([](const auto& rank) { return SupCon(kSmallTiles, rank); });
      }
}

TEST_CASE("Ranks fall back to running maxima together", "[loss][cpu]") {
  auto e = pairs(40, 100.0, 0.8);
  e.y = e.y + 3.0 * e.y.mean(0, true) / e.y.mean(0, true).norm();
  e.y = e.y / e.y.norm(2, {1}, true);
  e.x[3] = -e.y.mean(0) / e.y.mean(0).norm();
  const auto expected = test::evaluate(test::dense_symmetric, e, torch::kDouble);
  const auto single = test::leaves(e, torch::kFloat);
  for (const bool ring : {false, true})
    CHECK(test::worst_error(test::evaluate_on_ranks(
                                [&](const auto& rank) {
                                  return TiledInfoNce({.tiles = kSmallTiles, .ring = ring}, rank);
                                },
                                single, 3),
                            expected, 1.0) < 2e-5);
}

TEST_CASE("A rank whose features are not finite is named on all ranks", "[loss][cpu]") {
  std::vector<std::string> said(3);
  test::run_thread_ranks(3, [&](const test::ThreadRank& rank) {
    auto e = pairs(4, 10.0);
    if (rank.rank() == 1) e.y[2][5] = std::numeric_limits<double>::quiet_NaN();
    try {
      static_cast<void>(TiledInfoNce({}, rank)(e));
    } catch (const c10::Error& error) {
      said[static_cast<std::size_t>(rank.rank())] = error.what_without_backtrace();
    }
  });
  for (const auto& message : said)
    CHECK_THAT(message, Contains("features of rank 1 are not finite"));
}

TEST_CASE("A tiled loss keeps the identities of the loss", "[loss][cpu]") {
  const auto e = pairs(50, 14.3);
  const TiledInfoNce loss({.tiles = kSmallTiles});
  const auto whole = test::evaluate(loss, e, torch::kDouble);

  SECTION("the scale's gradient is <dX, X> / scale and <dY, Y> / scale") {
    const double ds = whole.gradients[2].item<double>() * 14.3;
    CHECK((whole.gradients[0] * e.x).sum().item<double>() == Approx(ds).epsilon(1e-10));
    CHECK((whole.gradients[1] * e.y).sum().item<double>() == Approx(ds).epsilon(1e-10));
  }
  SECTION("features that are all alike give ln N") {
    const auto same = e.x.narrow(0, 0, 1).expand({50, 24}).contiguous();
    CHECK(loss({same, same, e.scale}).item<double>() == Approx(std::log(50.0)).epsilon(1e-12));
  }
  SECTION("swapping the towers swaps the gradients") {
    const auto swapped = test::evaluate(loss, Embeddings{e.y, e.x, e.scale}, torch::kDouble);
    CHECK(swapped.value == Approx(whole.value).epsilon(1e-12));
    CHECK(test::relative_error(swapped.gradients[0], whole.gradients[1]) < 1e-12);
  }
  SECTION("permuting the pairs permutes the gradients") {
    const auto order = torch::randperm(50);
    const auto mixed = test::evaluate(
        loss, Embeddings{e.x.index_select(0, order), e.y.index_select(0, order), e.scale},
        torch::kDouble);
    CHECK(test::relative_error(mixed.gradients[0], whole.gradients[0].index_select(0, order)) <
          1e-12);
  }
  SECTION("the loss times a factor has gradients times that factor") {
    for (const double factor : {1000.0, 1e-3})
      CHECK(test::worst_error(test::evaluate(loss, e, torch::kDouble, factor), whole, 1e-9) <
            1e-12);
  }
  SECTION("one NaN row makes the loss NaN") {
    auto broken = e.x.clone();
    broken[7][3] = std::numeric_limits<double>::quiet_NaN();
    CHECK(std::isnan(loss({broken, e.y, e.scale}).item<double>()));
  }
}

TEST_CASE("The memory of tiled losses grows with N, not with its square", "[loss][cpu]") {
  const auto peak = [](const auto& loss, std::int64_t n, bool bias) {
    torch::manual_seed(2);
    Embeddings e{torch::randn({n, 16}).requires_grad_(true),
                 torch::randn({n, 16}).requires_grad_(true),
                 torch::tensor(1.0).requires_grad_(true)};
    if (bias) e.bias = torch::tensor(-5.0);
    const MemoryMeter meter;
    const at::Tensor value = loss(e);
    value.backward();
    return static_cast<double>(meter.peak_bytes());
  };
  const TileOptions tiles{.rows = 64, .columns = 64};
  const auto check = [&](const auto& loss, bool bias) {
    const double small = peak(loss, 1000, bias);
    const double large = peak(loss, 4000, bias);
    CHECK(large < 4.2 * small);
    // The bound is a few copies of the features and of vectors, and one tile.
    CHECK(large < 4000.0 * 4 * (8 * 16 + 30) + 8 * 64 * 64 * 4);
  };
  check(TiledInfoNce({.tiles = tiles}), false);
  check(TiledSigmoidLoss({.tiles = tiles}), true);
  check(NtXent(tiles), false);
  CHECK(peak(InfoNce{}, 4000, false) > 4000.0 * 4000.0 * 4);
}

TEST_CASE("In the ring a rank's memory does not grow with the number of ranks", "[loss][cpu]") {
  const auto peak = [](std::int64_t ranks, bool sigmoid, bool ring) {
    double most = 0.0;
    std::mutex mutex;
    test::run_thread_ranks(ranks, [&](const test::ThreadRank& rank) {
      auto e = test::leaves(with_bias(pairs(300, 10.0)), torch::kFloat);
      const TileOptions tiles{.rows = 64, .columns = 64};
      const MemoryMeter meter;
      const at::Tensor value = sigmoid ? TiledSigmoidLoss({tiles, ring}, rank)(e)
                                       : TiledInfoNce({.tiles = tiles, .ring = ring}, rank)(e);
      value.backward();
      const std::lock_guard lock(mutex);
      most = std::max(most, static_cast<double>(meter.peak_bytes()));
    });
    return most;
  };
  for (const bool sigmoid : {false, true}) {
    // The numbers per column that InfoNCE keeps are small compared with the features.
    CHECK(peak(8, sigmoid, true) < 1.3 * peak(2, sigmoid, true));
    CHECK(peak(8, sigmoid, false) > 1.8 * peak(2, sigmoid, false));
  }
}

TEST_CASE("Two forwards before their backwards do not mix", "[loss][cpu]") {
  const auto a = test::leaves(pairs(20, 10.0), torch::kDouble);
  const auto b = test::leaves(pairs(21, 30.0), torch::kDouble);
  const TiledInfoNce loss({.tiles = {.rows = 8, .columns = 8, .keep_bytes = 1e6}});
  const auto first = loss(a);
  const auto second = loss(b);
  first.backward();
  second.backward();
  CHECK(test::relative_error(
            a.x.grad(), test::evaluate(test::dense_symmetric, a, torch::kDouble).gradients[0]) <
        1e-12);
  CHECK(test::relative_error(
            b.x.grad(), test::evaluate(test::dense_symmetric, b, torch::kDouble).gradients[0]) <
        1e-12);
}

TEST_CASE("Features changed in place between forward and backward are noticed", "[loss][cpu]") {
  const auto e = test::leaves(pairs(5, 10.0), torch::kDouble);
  const auto x = e.x * 1.0;
  const auto loss = TiledInfoNce()(Embeddings{x, e.y, e.scale});
  x.mul_(2.0);
  CHECK_THROWS_WITH(loss.backward(), Contains("modified by an inplace operation"));
}

TEST_CASE("Tiled losses refuse what does not fit", "[loss][cpu]") {
  auto e = pairs(4, 10.0);
  e.negatives = torch::zeros({3, 5});
  CHECK_THROWS_WITH(TiledInfoNce()(e), Contains("negatives [3, 5] must be [M, D]"));
  e.negatives = torch::zeros({3, 24});
  e.group_ids = torch::arange(4);
  CHECK_THROWS_WITH(TiledInfoNce()(e), Contains("set negative_group_ids"));
  e.group_ids = torch::arange(3);
  CHECK_THROWS_WITH(TiledInfoNce()(e), Contains("must be int64 [B]"));
  CHECK_THROWS_WITH(TiledSigmoidLoss()(pairs(4, 1.0)), Contains("need a bias"));
  CHECK_THROWS_WITH(SupCon()(pairs(4, 1.0)), Contains("set group_ids"));
  CHECK_THROWS_WITH(InfoNce{}(e), Contains("InfoNce: group_ids"));
  e.group_ids.reset();
  CHECK_THROWS_WITH(InfoNce{}(e), Contains("takes no negatives"));
  CHECK_THROWS_WITH(TiledInfoNce({.tiles = {.rows = -1}})(pairs(4, 1.0)), Contains("rows (-1)"));
  CHECK_THROWS_WITH(TiledInfoNce({.tiles = {.matmul_dtype = torch::kDouble}})(pairs(4, 1.0)),
                    Contains("matmul_dtype is Double"));
}
