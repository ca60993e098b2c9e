// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/evaluate/nearest_neighbor_accuracy.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "contrapunto/precision/autocast_guard.hpp"
#include "contrapunto/precision/precision_policy.hpp"
#include "evaluate/fixed_loader.hpp"
#include "support/catch.hpp"
#include "support/thread_ranks.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

LabeledFeatures some(std::int64_t rows, std::int64_t classes, double noise, int seed) {
  torch::manual_seed(99);
  const auto centers = torch::randn({classes, 6});
  torch::manual_seed(seed);
  const auto labels = torch::randint(classes, {rows}, torch::kLong);
  return {centers.index({labels}) + noise * torch::randn({rows, 6}), labels};
}

/// The definition, one pair at a time in float64.
ClassificationAccuracy naive(const LabeledFeatures& gallery, const LabeledFeatures& queries,
                             std::int64_t neighbors, double temperature) {
  const auto g = gallery.features.to(torch::kDouble), q = queries.features.to(torch::kDouble);
  std::int64_t first = 0, five = 0;
  for (std::int64_t i = 0; i < q.size(0); ++i) {
    std::vector<double> cosines;
    for (std::int64_t j = 0; j < g.size(0); ++j)
      cosines.push_back((q[i].dot(g[j]) / q[i].norm() / g[j].norm()).item<double>());
    std::vector<std::int64_t> order(cosines.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](auto a, auto b) {
      return cosines[static_cast<std::size_t>(a)] > cosines[static_cast<std::size_t>(b)];
    });
    std::vector<double> votes(10, 0.0);
    for (std::int64_t k = 0; k < std::min(neighbors, g.size(0)); ++k) {
      const auto j = order[static_cast<std::size_t>(k)];
      votes[static_cast<std::size_t>(gallery.labels[j].item<std::int64_t>())] +=
          std::exp(cosines[static_cast<std::size_t>(j)] / temperature);
    }
    const auto right = static_cast<std::size_t>(queries.labels[i].item<std::int64_t>());
    const auto better =
        std::count_if(votes.begin(), votes.end(),
                      [&](double vote) { return vote > votes[right]; }) +
        std::count(votes.begin(), votes.begin() + static_cast<long>(right), votes[right]);
    first += better < 1 && votes[right] > 0;
    five += better < 5 && votes[right] > 0;
  }
  const auto n = static_cast<double>(q.size(0));
  return {static_cast<double>(first) / n, static_cast<double>(five) / n, q.size(0)};
}

bool equal(const ClassificationAccuracy& a, const ClassificationAccuracy& b) {
  return a.top1 == b.top1 && a.top5 == b.top5 && a.samples == b.samples;
}

}  // namespace

TEST_CASE("Neighbors vote as the definition says", "[evaluate][cpu]") {
  const auto gallery = some(120, 9, 1.5, 1), queries = some(70, 9, 1.5, 2);
  for (const std::int64_t neighbors : {1, 5, 30, 500}) {
    const auto expected = naive(gallery, queries, neighbors, 0.2);
    CHECK(expected.top1 > 0.2);
    CHECK(expected.top1 < 0.95);
    for (const std::int64_t chunk : {16, 512})
      CHECK(
          equal(nearest_neighbor_accuracy(
                    gallery, queries, {.neighbors = neighbors, .temperature = 0.2, .chunk = chunk}),
                expected));
  }
}

TEST_CASE("The scale of features and a tiny temperature do not matter", "[evaluate][cpu]") {
  const auto gallery = some(100, 5, 0.5, 1), queries = some(40, 5, 0.5, 2);
  const auto expected = nearest_neighbor_accuracy(gallery, queries);
  CHECK(equal(nearest_neighbor_accuracy({gallery.features * 1e6, gallery.labels},
                                        {queries.features * 1e-6, queries.labels}),
              expected));
  // exp(1 / 0.001) overflows; the weights are then those of the nearest one alone.
  CHECK(nearest_neighbor_accuracy(gallery, queries, {.temperature = 1e-3}).top1 ==
        nearest_neighbor_accuracy(gallery, queries, {.neighbors = 1}).top1);
  // The weights of all others are 0, so no other class has a vote.
  CHECK(equal(nearest_neighbor_accuracy(gallery, queries, {.temperature = 1e-9}),
              nearest_neighbor_accuracy(gallery, queries, {.neighbors = 1})));
}

TEST_CASE("Autocast does not change what the neighbors vote", "[evaluate][cpu]") {
  // All cosines lie near 1, where bf16 has steps of 1 / 256.
  auto gallery = some(600, 9, 1.5, 1), queries = some(300, 9, 1.5, 2);
  gallery.features += 40;
  queries.features += 40;
  const auto expected = nearest_neighbor_accuracy(gallery, queries, {.temperature = 0.01});
  CHECK(expected.top1 > 0.2);
  const AutocastGuard autocast(precision_policy("bf16"), at::kCPU);
  CHECK(equal(nearest_neighbor_accuracy(gallery, queries, {.temperature = 0.01}), expected));
}

TEST_CASE("A large label costs no memory, and a class outside of the gallery is not found",
          "[evaluate][cpu]") {
  const auto gallery = some(60, 5, 0.3, 1), queries = some(40, 5, 0.3, 2);
  const auto expected = nearest_neighbor_accuracy(gallery, queries);
  constexpr std::int64_t kFar = std::int64_t{1} << 40;
  const auto far = [&](const LabeledFeatures& some) {
    return LabeledFeatures{some.features, some.labels * kFar};
  };
  CHECK(equal(nearest_neighbor_accuracy(far(gallery), far(queries)), expected));
  // Every query asks for a class that the gallery lacks, below, between and above its classes.
  for (const std::int64_t shift : {1, 7}) {
    const auto none = nearest_neighbor_accuracy({gallery.features, gallery.labels * 2 + 2},
                                                {queries.features, queries.labels * 2 + shift});
    CHECK(none.top1 == 0);
    CHECK(none.top5 == 0);
    CHECK(none.samples == 40);
  }
}

TEST_CASE("Labeled features are those of every batch in order", "[evaluate][cpu]") {
  torch::manual_seed(5);
  const auto images = torch::randn({7, 4}), labels = torch::randint(0, 5, {7});
  const auto weight = torch::randn({4, 3}).requires_grad_();
  const auto encode = [&](const at::Tensor& batch) { return batch.mm(weight); };
  test::FixedLoader loader(images, labels, 3);  // batches of 3, 3 and 1, and an empty one
  for (int pass = 0; pass < 2; ++pass) {        // Each call begins the epoch anew.
    const auto result = labeled_features(loader, encode);
    CHECK(test::close(result.features, images.mm(weight)));
    CHECK(torch::equal(result.labels, labels));
    CHECK_FALSE(result.features.requires_grad());
  }
  test::FixedLoader empty(images.narrow(0, 0, 0), labels.narrow(0, 0, 0), 3);
  const auto none = labeled_features(empty, encode);
  CHECK(none.features.sizes() == at::IntArrayRef({0, 0}));
  CHECK(none.labels.sizes() == at::IntArrayRef({0}));
}

TEST_CASE("Ranks share the queries and know the whole gallery", "[evaluate][cpu]") {
  const auto gallery = some(90, 6, 1.0, 3), queries = some(31, 6, 1.0, 4);
  const auto expected = nearest_neighbor_accuracy(gallery, queries, {.neighbors = 12});
  const auto part = [](const LabeledFeatures& all, std::int64_t begin, std::int64_t end) {
    return LabeledFeatures{all.features.slice(0, begin, end), all.labels.slice(0, begin, end)};
  };
  std::vector<ClassificationAccuracy> results(3);
  test::run_thread_ranks(3, [&](const test::ThreadRank& rank) {
    const auto r = static_cast<std::size_t>(rank.rank());
    const std::vector<std::int64_t> rows{0, 50, 90, 90}, asked{0, 30, 31, 31};
    auto own = part(gallery, rows[r], rows[r + 1]);
    auto questions = part(queries, asked[r], asked[r + 1]);
    if (r == 2) own = questions = {at::zeros({0, 0}), at::zeros({0}, at::kLong)};
    results[r] = nearest_neighbor_accuracy(own, questions, {.neighbors = 12}, rank);
  });
  for (const auto& result : results) CHECK(equal(result, expected));
}

TEST_CASE("Nearest neighbors name what does not fit", "[evaluate][cpu]") {
  const auto gallery = some(20, 3, 1.0, 1), queries = some(10, 3, 1.0, 2);
  const LabeledFeatures none{at::zeros({0, 0}), at::zeros({0}, at::kLong)};
  CHECK_THROWS_WITH(nearest_neighbor_accuracy(none, queries), Contains("gallery is empty"));
  CHECK(nearest_neighbor_accuracy(gallery, none).samples == 0);
  CHECK_THROWS_WITH(nearest_neighbor_accuracy(gallery, {queries.features, queries.labels - 1}),
                    Contains("a label is negative"));
  CHECK_THROWS_WITH(nearest_neighbor_accuracy(gallery, {queries.features, gallery.labels}),
                    Contains("the features of the queries are [10, 6]"));
  CHECK_THROWS_WITH(
      nearest_neighbor_accuracy(gallery, {queries.features.narrow(1, 0, 4), queries.labels}),
      Contains("must agree in width"));
  CHECK_THROWS_WITH(nearest_neighbor_accuracy(gallery, queries, {.neighbors = 0}),
                    Contains("neighbors (0)"));
}
