// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/evaluate/retrieval_metrics.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "contrapunto/precision/autocast_guard.hpp"
#include "contrapunto/precision/precision_policy.hpp"
#include "support/catch.hpp"
#include "support/thread_ranks.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

RetrievalMetrics::Direction summarize(std::vector<double> ranks) {
  std::sort(ranks.begin(), ranks.end());
  const auto n = ranks.size();
  RetrievalMetrics::Direction d;
  for (const double rank : ranks) {
    d.recall_at_1 += rank < 1;
    d.recall_at_5 += rank < 5;
    d.recall_at_10 += rank < 10;
    d.mean_reciprocal_rank += 1 / (rank + 1);
    d.mean_rank += rank + 1;
  }
  const auto total = static_cast<double>(n);
  d.recall_at_1 /= total;
  d.recall_at_5 /= total;
  d.recall_at_10 /= total;
  d.mean_reciprocal_rank /= total;
  d.mean_rank /= total;
  d.median_rank = std::floor((ranks[(n - 1) / 2] + ranks[n / 2]) / 2) + 1;
  d.queries = static_cast<std::int64_t>(n);
  return d;
}

/// Sorts the full matrix of scores by value, equals by index, and looks the positives up.
RetrievalMetrics naive(const at::Tensor& x, const at::Tensor& y, const at::Tensor& owner) {
  const auto scores = x.to(at::kDouble).mm(y.to(at::kDouble).t());
  const auto s = scores.accessor<double, 2>();
  const auto o = owner.accessor<std::int64_t, 1>();
  std::vector<double> x_ranks, y_ranks;
  std::vector<std::pair<double, std::int64_t>> order;
  for (std::int64_t i = 0; i < x.size(0); ++i) {
    order.clear();
    for (std::int64_t j = 0; j < y.size(0); ++j) order.emplace_back(-s[i][j], j);
    std::sort(order.begin(), order.end());
    const auto first = std::find_if(order.begin(), order.end(),
                                    [&](const auto& entry) { return o[entry.second] == i; });
    if (first == order.end()) continue;  // an x without a y is not a query
    x_ranks.push_back(static_cast<double>(first - order.begin()));
  }
  for (std::int64_t j = 0; j < y.size(0); ++j) {
    order.clear();
    for (std::int64_t i = 0; i < x.size(0); ++i) order.emplace_back(-s[i][j], i);
    std::sort(order.begin(), order.end());
    const auto own = std::find_if(order.begin(), order.end(),
                                  [&](const auto& entry) { return entry.second == o[j]; });
    y_ranks.push_back(static_cast<double>(own - order.begin()));
  }
  return {summarize(x_ranks), summarize(y_ranks)};
}

void require_same(const RetrievalMetrics::Direction& a, const RetrievalMetrics::Direction& b) {
  REQUIRE(a.recall_at_1 == b.recall_at_1);
  REQUIRE(a.recall_at_5 == b.recall_at_5);
  REQUIRE(a.recall_at_10 == b.recall_at_10);
  REQUIRE(a.mean_reciprocal_rank == Approx(b.mean_reciprocal_rank).epsilon(1e-12));
  REQUIRE(a.mean_rank == Approx(b.mean_rank).epsilon(1e-12));
  REQUIRE(a.median_rank == b.median_rank);
  REQUIRE(a.queries == b.queries);
}

}  // namespace

TEST_CASE("Retrieval agrees with sorting the full matrix, ties and all", "[evaluate][cpu]") {
  torch::manual_seed(6);
  for (const std::int64_t captions : {1, 2, 5}) {
    for (const bool with_ties : {false, true}) {
      const std::int64_t n = 43;
      auto x = torch::randn({n, 4}, at::kDouble);
      const auto owner = torch::cat({torch::arange(n), torch::randint(0, n, {(captions - 1) * n})})
                             .index({torch::randperm(captions * n)});
      auto y = x.index({owner}) + 0.6 * torch::randn({captions * n, 4}, at::kDouble);
      if (with_ties) {  // Small whole numbers: exact products, and many of them equal.
        x = x.round();
        y = y.round();
      }
      const auto expected = naive(x, y, owner);
      for (const std::int64_t chunk : {1, 7, 43, 1000}) {
        INFO(captions << " captions, chunk " << chunk << (with_ties ? ", ties" : ""));
        const auto metrics = retrieval_metrics(x, y, owner, chunk);
        require_same(metrics.x_to_y, expected.x_to_y);
        require_same(metrics.y_to_x, expected.y_to_x);
      }
    }
  }
}

TEST_CASE("Autocast and narrow features do not round the scores of retrieval", "[evaluate][cpu]") {
  torch::manual_seed(7);
  const std::int64_t n = 60;
  const auto x = (torch::randn({n, 8}) * 0.1 + 2).to(at::kBFloat16);
  const auto y = (x + 0.1 * torch::randn({n, 8})).to(at::kBFloat16);
  const auto owner = torch::arange(n);
  // Products of bf16 numbers near 2 are multiples of 2^-14, so their sums below 64 are exact in
  // float32.
  const auto expected = naive(x, y, owner);
  const AutocastGuard autocast(precision_policy("bf16"), at::kCPU);
  for (const auto& metrics : {retrieval_metrics(x, y, owner),
                              retrieval_metrics(x.to(at::kFloat), y.to(at::kFloat), owner)}) {
    require_same(metrics.x_to_y, expected.x_to_y);
    require_same(metrics.y_to_x, expected.y_to_x);
  }
}

TEST_CASE("A gallery may hold images without a caption", "[evaluate][cpu]") {
  torch::manual_seed(9);
  for (const bool with_ties : {false, true}) {
    const std::int64_t n = 48;
    auto x = torch::randn({n, 4}, at::kDouble);
    const auto owner = torch::randint(0, n, {10});
    auto y = x.index({owner}) + 0.6 * torch::randn({10, 4}, at::kDouble);
    if (with_ties) {
      x = x.round();
      y = y.round();
    }
    const auto expected = naive(x, y, owner);
    CHECK(expected.x_to_y.queries < 11);
    for (const std::int64_t chunk : {1, 7, 1000}) {
      const auto metrics = retrieval_metrics(x, y, owner, chunk);
      require_same(metrics.x_to_y, expected.x_to_y);
      require_same(metrics.y_to_x, expected.y_to_x);
    }
    // There are three ranks, and the last one has only images.
    const std::vector<std::int64_t> rows{20, 20, 8};
    std::vector<RetrievalMetrics> of_ranks(3);
    std::vector<at::Tensor> own(3), texts(3), all_texts, all_owners;
    for (std::size_t r = 0; r < 3; ++r) {
      own[r] = r == 2 ? torch::empty({0}, at::kLong) : torch::randint(0, 20, {5});
      texts[r] = y.narrow(0, r == 1 ? 5 : 0, own[r].size(0));
      all_texts.push_back(texts[r]);
      all_owners.push_back(own[r] + static_cast<std::int64_t>(20 * r));
    }
    const auto together = naive(x, torch::cat(all_texts), torch::cat(all_owners));
    test::run_thread_ranks(3, [&](const test::ThreadRank& rank) {
      const auto r = static_cast<std::size_t>(rank.rank());
      const auto images = x.narrow(0, static_cast<std::int64_t>(20 * r), rows[r]);
      of_ranks[r] = retrieval_metrics(images, texts[r], own[r], rank, 7);
    });
    for (const auto& result : of_ranks) {
      require_same(result.x_to_y, together.x_to_y);
      require_same(result.y_to_x, together.y_to_x);
    }
  }
}

TEST_CASE("Perfect and constant features give the counted ranks", "[evaluate][cpu]") {
  const auto perfect = retrieval_metrics(torch::eye(8), torch::eye(8), torch::arange(8));
  REQUIRE(perfect.x_to_y.recall_at_1 == 1);
  REQUIRE(perfect.y_to_x.mean_rank == 1);
  REQUIRE(perfect.y_to_x.median_rank == 1);
  // All scores are equal, so row i is at rank i + 1, by its index.
  const auto constant =
      retrieval_metrics(torch::ones({8, 2}), torch::ones({8, 2}), torch::arange(8));
  REQUIRE(constant.x_to_y.recall_at_1 == 1.0 / 8);
  REQUIRE(constant.x_to_y.recall_at_5 == 5.0 / 8);
  REQUIRE(constant.x_to_y.mean_rank == 4.5);
  REQUIRE(constant.x_to_y.median_rank == 4);  // floor(3.5) + 1
}

TEST_CASE("Features that are NaN retrieve nothing", "[evaluate][cpu]") {
  const auto nan = torch::full({20, 2}, std::numeric_limits<float>::quiet_NaN());
  const auto metrics = retrieval_metrics(nan, nan, torch::arange(20));
  REQUIRE(metrics.x_to_y.recall_at_10 == 0);
  REQUIRE(metrics.y_to_x.recall_at_10 == 0);
}

TEST_CASE("Owners that do not fit are refused", "[evaluate][cpu]") {
  const auto x = torch::ones({3, 2});
  const auto y = torch::ones({4, 2});
  const auto owners = [](std::vector<std::int64_t> values) { return torch::tensor(values); };
  REQUIRE_THROWS_WITH(retrieval_metrics(x, y, owners({0, 1, 2})), Contains("int64 [4]"));
  REQUIRE_THROWS_WITH(retrieval_metrics(x, y, owners({0, 1, 2, 3})), Contains("0 to 2"));
  REQUIRE_THROWS_WITH(retrieval_metrics(x, y, owners({0, 1, 2, -1})), Contains("0 to 2"));
  REQUIRE_THROWS_WITH(retrieval_metrics(x, y.slice(0, 0, 0), owners({}).to(at::kLong)),
                      Contains("no rows of y"));
  REQUIRE_THROWS_WITH(retrieval_metrics(x, torch::ones({4, 3}), owners({0, 1, 2, 2})),
                      Contains("same D"));
  REQUIRE_THROWS_WITH(retrieval_metrics(x, y, owners({0, 1, 2, 2}), 0), Contains("chunk"));
}

TEST_CASE("Ranks together retrieve as one process does, ties and all", "[evaluate][cpu]") {
  torch::manual_seed(8);
  for (const auto& sizes :
       std::vector<std::vector<std::int64_t>>{{20, 20}, {9, 31}, {12, 0, 25, 1}}) {
    for (const bool with_ties : {false, true}) {
      std::vector<at::Tensor> xs, ys, owners, global;
      std::int64_t before = 0;
      for (const auto n : sizes) {
        const auto captions = n == 0 ? 0 : n + 13;  // uneven, every row of x has one at least
        xs.push_back(torch::randn({n, 4}, at::kDouble));
        owners.push_back(n == 0 ? torch::empty({0}, at::kLong)
                                : torch::cat({torch::arange(n), torch::randint(0, n, {13})})
                                      .index({torch::randperm(captions)}));
        ys.push_back(xs.back().index({owners.back()}) +
                     0.6 * torch::randn({captions, 4}, at::kDouble));
        if (with_ties) {
          xs.back().round_();
          ys.back().round_();
        }
        global.push_back(owners.back() + before);
        before += n;
      }
      const auto expected =
          retrieval_metrics(torch::cat(xs), torch::cat(ys), torch::cat(global), 7);
      require_same(expected.x_to_y,
                   naive(torch::cat(xs), torch::cat(ys), torch::cat(global)).x_to_y);
      std::vector<RetrievalMetrics> metrics(sizes.size());
      test::run_thread_ranks(static_cast<std::int64_t>(sizes.size()),
                             [&](const test::ThreadRank& rank) {
                               const auto r = static_cast<std::size_t>(rank.rank());
                               metrics[r] = retrieval_metrics(xs[r], ys[r], owners[r], rank, 7);
                             });
      for (const auto& result : metrics) {
        require_same(result.x_to_y, expected.x_to_y);
        require_same(result.y_to_x, expected.y_to_x);
      }
    }
  }
}

TEST_CASE("Owners that do not fit on one rank are refused on all", "[evaluate][cpu]") {
  const auto message = [](const at::Tensor& owners_of_rank_1) {
    std::vector<std::string> messages(2);
    test::run_thread_ranks(2, [&](const test::ThreadRank& rank) {
      const auto x = torch::ones({3, 2});
      try {
        static_cast<void>(
            retrieval_metrics(x, x, rank.rank() == 1 ? owners_of_rank_1 : torch::arange(3), rank));
      } catch (const c10::Error& error) {
        messages[static_cast<std::size_t>(rank.rank())] = error.what_without_backtrace();
      }
    });
    REQUIRE(messages[0] == messages[1]);
    return messages[0];
  };
  CHECK_THAT(message(torch::tensor({0, 1, 3})), Contains("0 to 2 (on rank 1)"));
}
