// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/loss/pairwise_logsumexp.hpp"

#include <limits>

#include "contrapunto/autograd/memory_meter.hpp"
#include "contrapunto/distributed/all_reduce_value.hpp"
#include "contrapunto/distributed/gather_with_gradient.hpp"
#include "loss/on_device.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

constexpr double kSmoothing = 0.1;

/// A user's loss with soft targets: the positive has 1 - s, and all columns share s. The mean of a
/// row's logits is the logit of the mean column, so no matrix is needed.
struct Smoothed {
  TileOptions tiles = {};
  bool ring = false;
  Ranks of = {};

  at::Tensor operator()(const Embeddings& e) const {
    const auto sums = pairwise_logsumexp(e.x, e.y, e.scale, {.tiles = tiles, .ring = ring}, of);
    const auto side = [&](const at::Tensor& rows, const at::Tensor& others) {
      const auto mean = gather_with_gradient(of, others).rows.mean(0);
      return (1 - kSmoothing) * sums.positives + kSmoothing * e.scale * rows.mv(mean);
    };
    const auto share = (sums.rows - side(e.x, e.y) + sums.columns - side(e.y, e.x)).sum() / 2;
    return all_reduce_value(share / static_cast<double>(sums.pairs), of);
  }
};

at::Tensor dense(const Embeddings& e) {
  const auto z = e.scale * e.x.mm(e.y.t());
  const auto n = z.size(0);
  const auto targets =
      (1 - kSmoothing) * torch::eye(n, z.options()) + kSmoothing / static_cast<double>(n);
  return -(targets * (z.log_softmax(1) + z.log_softmax(0))).sum() / static_cast<double>(2 * n);
}

}  // namespace

TEST_CASE("A user's loss with soft targets on pairwise_logsumexp equals the dense one in float64",
          "[loss][cpu]") {
  for (const auto n : {1, 2, 127})
    for (const double scale : {1.0, 100.0}) {
      const auto e = test::without_bias(test::trained_pairs(n, scale));
      const auto expected = test::evaluate(dense, e, torch::kDouble);
      const double floor = scale / static_cast<double>(n);
      INFO("n " << n << ", scale " << scale);
      const Smoothed loss{.tiles = {.rows = 37, .columns = 50}};
      CHECK(test::worst_error(test::evaluate(loss, e, torch::kDouble), expected, floor) < 1e-12);
      // In float32 the error is at most that of the full matrix plus the rounding of a logit.
      const auto single = test::leaves(e, torch::kFloat);
      const auto wide = test::evaluate(dense, single, torch::kDouble);
      const double naive =
          test::worst_error(test::evaluate(dense, single, torch::kFloat), wide, floor);
      CHECK(test::worst_error(test::evaluate(loss, single, torch::kFloat), wide, floor) <=
            1.2 * naive + scale * std::numeric_limits<float>::epsilon() +
                2 * test::tolerance(torch::kFloat));
      for (const bool ring : {false, true})
        CHECK(test::worst_error(test::evaluate_on_ranks(
                                    [&](const auto& rank) {
                                      return Smoothed{.tiles = {.rows = 37, .columns = 50},
                                                      .ring = ring,
                                                      .of = rank};
                                    },
                                    e, 3),
                                expected, floor) < 1e-11);
    }
}

TEST_CASE("The memory of pairwise_logsumexp grows with N, not with its square", "[loss][cpu]") {
  const auto peak = [](std::int64_t n) {
    const auto e =
        test::leaves(test::without_bias(test::trained_pairs(n, 10.0, 16)), torch::kFloat);
    const MemoryMeter meter;
    Smoothed{.tiles = {.rows = 64, .columns = 64}}(e).backward();
    return static_cast<double>(meter.peak_bytes());
  };
  CHECK(peak(4000) < 4.2 * peak(1000));
}

TEST_CASE("Groups and further candidates change pairwise_logsumexp as they change the matrix",
          "[loss][cpu]") {
  const auto e = test::with_candidates(test::without_bias(test::trained_pairs(40, 10.0)));
  const auto columns = torch::cat({e.y, *e.negatives});
  const auto sums =
      pairwise_logsumexp(e.x, columns, e.scale,
                         {.columns = false,
                          .row_group_ids = *e.group_ids,
                          .column_group_ids = torch::cat({*e.group_ids, *e.negative_group_ids})});
  const double none = -std::numeric_limits<double>::infinity();
  const auto z = (e.scale * e.x.mm(columns.t())).masked_fill(test::excluded(e), none);
  CHECK(test::close(sums.rows, torch::logsumexp(z, {1})));
  CHECK(test::close(sums.positives, z.diagonal()));
  CHECK_FALSE(sums.columns.defined());
  CHECK(sums.pairs == 40);
}

TEST_CASE("pairwise_logsumexp refuses what does not fit", "[loss][cpu]") {
  const auto x = torch::ones({4, 3}), one = torch::ones({});
  CHECK_THROWS_WITH(pairwise_logsumexp(x, torch::ones({3, 3}), one),
                    Contains("x [4, 3] and y [3, 3] must be [B, D] and [B + M, D]"));
  CHECK_THROWS_WITH(pairwise_logsumexp(x, x, torch::ones({2})), Contains("must be one number"));
  CHECK_THROWS_WITH(pairwise_logsumexp(x, x, one, {.row_group_ids = torch::arange(4)}),
                    Contains("must be int64 [4] and [4], or both be undefined"));
}
