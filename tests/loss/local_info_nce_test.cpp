// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/loss/local_info_nce.hpp"

#include "contrapunto/loss/tiled_info_nce.hpp"
#include "loss/pair_oracle.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

Embeddings pairs(std::int64_t n, double scale) {
  torch::manual_seed(n);
  const auto x = test::unit_rows(n, 24);
  const auto y = 0.3 * x + 0.7 * test::unit_rows(n, 24);
  return {x, y / y.norm(2, {1}, true), torch::tensor(scale, torch::kDouble)};
}

Embeddings with_negatives(Embeddings e) {
  const auto n = e.x.size(0);
  e.negatives = test::unit_rows(2 * n + 1, e.x.size(1));
  e.group_ids = torch::arange(n) % std::max<std::int64_t>(1, n - n / 4);
  e.negative_group_ids = torch::arange(2 * n + 1) % (3 * n);
  return e;
}

/// OpenCLIP's local loss without gradients through the gather, by its definition: own rows against
/// constant candidates, in both directions. The sum over ranks is the same for any number of ranks.
at::Tensor dense_with_constant_candidates(const Embeddings& e) {
  Embeddings for_x = e;
  for_x.y = e.y.detach();
  if (e.negatives) for_x.negatives = e.negatives->detach();
  const Embeddings for_y{e.y, e.x.detach(), e.scale, {}, {}, e.group_ids, {}};
  return (test::dense_rows(for_x) + test::dense_rows(for_y)) / 2;
}

const TileOptions kSmallTiles{.rows = 37, .columns = 50};

auto local(bool gather_with_grad) {
  return [=](const test::ThreadRank& rank) {
    return LocalInfoNce({.tiles = kSmallTiles, .gather_with_grad = gather_with_grad}, rank);
  };
}

}  // namespace

TEST_CASE("Local rows against gathered candidates give the loss of the whole batch",
          "[loss][cpu]") {
  for (const auto ranks : {1, 2, 4})
    for (const auto n : {1, 2, 127})
      for (const bool extras : {false, true})
        for (const double scale : {1.0, 100.0}) {
          const auto e = extras ? with_negatives(pairs(n, scale)) : pairs(n, scale);
          INFO(ranks << " ranks, n " << n << ", negatives " << extras << ", scale " << scale);
          const auto expected = test::evaluate(test::dense_symmetric, e, torch::kDouble);
          CHECK(test::worst_error(test::evaluate_on_ranks(local(true), e, ranks), expected,
                                  scale / static_cast<double>(n)) < 1e-11);
        }
}

TEST_CASE("Constant candidates give the loss of the whole batch but other gradients",
          "[loss][cpu]") {
  for (const auto ranks : {2, 4})
    for (const bool extras : {false, true}) {
      const auto e = extras ? with_negatives(pairs(60, 10.0)) : pairs(60, 10.0);
      INFO(ranks << " ranks, negatives " << extras);
      const auto result = test::evaluate_on_ranks(local(false), e, ranks);
      CHECK(test::worst_error(result,
                              test::evaluate(dense_with_constant_candidates, e, torch::kDouble),
                              1e-3) < 1e-11);
      const auto exact = test::evaluate(test::dense_symmetric, e, torch::kDouble);
      CHECK(result.value == Approx(exact.value).epsilon(1e-12));
      CHECK(test::relative_error(result.gradients[0], exact.gradients[0]) > 0.1);
      CHECK(test::relative_error(result.gradients[1], exact.gradients[1]) > 0.1);
      // The scale is in every product, so its gradient is complete.
      CHECK(test::relative_error(result.gradients[2], exact.gradients[2]) < 1e-11);
    }
}

TEST_CASE("With one rank candidates are never constant", "[loss][cpu]") {
  const auto e = pairs(30, 10.0);
  const LocalInfoNce loss({.gather_with_grad = false});
  CHECK(loss.gradient_warning().empty());
  CHECK(test::worst_error(test::evaluate(loss, e, torch::kDouble),
                          test::evaluate(test::dense_symmetric, e, torch::kDouble), 1e-3) < 1e-12);
}

TEST_CASE("Local InfoNCE says when its gradients are inexact, and the remedy", "[loss][cpu]") {
  std::string exact = "not asked", inexact;
  test::run_thread_ranks(2, [&](const test::ThreadRank& rank) {
    if (rank.rank() != 0) return;
    exact = local(true)(rank).gradient_warning();
    inexact = local(false)(rank).gradient_warning();
  });
  CHECK(exact.empty());
  CHECK_THAT(inexact,
             Contains("not those of the loss") && Contains("set gather_with_grad for exact ones"));
}

TEST_CASE("Local InfoNCE in float32 and 16 bit is as exact as the tiled loss", "[loss][cpu]") {
  for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
    const auto e = test::leaves(pairs(127, 100.0), dtype);
    const auto expected = test::evaluate(test::dense_symmetric, e, torch::kDouble);
    const auto tiled =
        test::evaluate_on_ranks([](const auto& rank) { return TiledInfoNce({}, rank); }, e, 3);
    CHECK(test::worst_error(test::evaluate_on_ranks(local(true), e, 3), expected, 1.0) <=
          1.2 * test::worst_error(tiled, expected, 1.0) + 1e-5);
  }
}

TEST_CASE("A batch of local InfoNCE may underflow and falls back to running maxima",
          "[loss][cpu]") {
  auto e = pairs(40, 100.0);
  e.y = e.y + 3.0 * e.y.mean(0, true) / e.y.mean(0, true).norm();
  e.y = e.y / e.y.norm(2, {1}, true);
  e.x[3] = -e.y.mean(0) / e.y.mean(0).norm();
  const auto expected = test::evaluate(test::dense_symmetric, e, torch::kDouble);
  CHECK(test::worst_error(test::evaluate_on_ranks(local(true), test::leaves(e, torch::kFloat), 3),
                          expected, 1.0) < 2e-5);
}
