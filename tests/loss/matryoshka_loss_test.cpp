// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/loss/matryoshka_loss.hpp"

#include <string>
#include <vector>

#include "contrapunto/loss/affinity_loss.hpp"
#include "contrapunto/loss/info_nce.hpp"
#include "contrapunto/loss/loss_sum.hpp"
#include "contrapunto/loss/tiled_info_nce.hpp"
#include "contrapunto/loss/tiled_sigmoid_loss.hpp"
#include "loss/pair_oracle.hpp"
#include "support/catch.hpp"
#include "support/thread_ranks.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

Embeddings pairs(std::int64_t n, std::int64_t width, int seed = 1) {
  torch::manual_seed(seed);
  return {test::unit_rows(n, width), test::unit_rows(n, width), torch::tensor(14.3, torch::kDouble),
          torch::tensor(-5.0, torch::kDouble)};
}

Embeddings cut(const Embeddings& e, std::int64_t width) {
  auto narrow = e;
  narrow.x = unit_rows(e.x.narrow(1, 0, width));
  narrow.y = unit_rows(e.y.narrow(1, 0, width));
  return narrow;
}

}  // namespace

TEST_CASE("The loss at nested widths is the weighted sum over cut embeddings", "[loss][cpu]") {
  const auto e = pairs(50, 24);
  const auto check = [&](const auto& loss, const auto& naive) {
    const MatryoshkaLoss nested(loss, {{8, 1.0}, {16, 0.5}, {24, 2.0}});
    const auto expected = test::evaluate(
        [&](const Embeddings& in) {
          return naive(cut(in, 8)) + 0.5 * naive(cut(in, 16)) + 2.0 * naive(cut(in, 24));
        },
        e, torch::kDouble);
    const auto result =
        test::evaluate([&](const Embeddings& in) { return nested(in).total; }, e, torch::kDouble);
    CHECK(test::worst_error(result, expected, 1e-3) < 1e-12);
  };
  check(TiledInfoNce(), [](Embeddings in) {
    in.bias.reset();
    return test::dense_symmetric(in);
  });
  check(TiledSigmoidLoss(), test::dense_sigmoid);
  const auto parts = MatryoshkaLoss(TiledInfoNce(), {{8, 1.0}, {24, 2.0}})(e).parts;
  REQUIRE(parts.size() == 2);
  CHECK(parts[0].first == "width_8");
  CHECK(parts[1].first == "width_24");
  CHECK(parts[1].second.item<double>() == Approx(TiledInfoNce()(e).item<double>()).epsilon(1e-12));
}

TEST_CASE("Nested widths cut negatives and the student, but not its teachers", "[loss][cpu]") {
  auto e = pairs(30, 24);
  e.bias.reset();
  e.negatives = test::unit_rows(17, 24);
  auto narrow = cut(e, 8);
  narrow.negatives = unit_rows(e.negatives->narrow(1, 0, 8));
  CHECK(MatryoshkaLoss(TiledInfoNce(), {{8, 1.0}})(e).total.item<double>() ==
        Approx(test::dense_symmetric(narrow).item<double>()).epsilon(1e-12));

  const auto student = pairs(30, 24), teacher = pairs(30, 12, 2);
  const MatryoshkaLoss nested(LossSum(WeightedLoss{"contrastive", 1.0, TiledInfoNce()},
                                      WeightedLoss{"affinity", 1.0, AffinityLoss()}),
                              {{8, 1.0}});
  const double expected = TiledInfoNce()(cut(student, 8)).item<double>() +
                          AffinityLoss()({cut(student, 8), {teacher}}).total.item<double>();
  const auto terms = nested(DistilledEmbeddings{student, {teacher}});
  CHECK(terms.total.item<double>() == Approx(expected).epsilon(1e-12));
  CHECK(terms.parts[1].first == "width_8/contrastive");
}

TEST_CASE("Nested widths over ranks are those of the whole batch", "[loss][cpu]") {
  const auto e = pairs(41, 24);
  const auto expected = test::evaluate(
      [](const Embeddings& in) {
        return MatryoshkaLoss(TiledSigmoidLoss(), {{8, 1.0}, {24, 0.5}})(in).total;
      },
      e, torch::kDouble);
  const auto on_rank = [](const test::ThreadRank& rank) {
    return [loss = MatryoshkaLoss(TiledSigmoidLoss({}, rank), {{8, 1.0}, {24, 0.5}})](
               const Embeddings& in) { return loss(in).total; };
  };
  CHECK(test::worst_error(test::evaluate_on_ranks(on_rank, e, 3), expected, 1e-3) < 1e-11);
}

TEST_CASE("Nested widths name what does not fit", "[loss][cpu]") {
  CHECK_THROWS_WITH(MatryoshkaLoss(TiledInfoNce(), {}), Contains("there are no widths"));
  CHECK_THROWS_WITH(MatryoshkaLoss(TiledInfoNce(), {{0, 1.0}}), Contains("width 0"));
  CHECK_THROWS_WITH(MatryoshkaLoss(TiledInfoNce(), {{8, -1.0}}), Contains("weight -1"));
  CHECK_THROWS_WITH(MatryoshkaLoss(TiledInfoNce(), {{32, 1.0}})(pairs(4, 24)),
                    Contains("less than the width 32"));
}
