// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/data/epoch_order.hpp"

#include "support/catch.hpp"

using namespace contrapunto;

namespace {

std::vector<std::int64_t> all_of(const EpochOrder& order) {
  std::vector<std::int64_t> samples;
  for (std::int64_t i = 0; i < order.size(); ++i) samples.push_back(order(i));
  return samples;
}

}  // namespace

TEST_CASE("Every sample comes once an epoch, in an order of its own", "[data][cpu]") {
  const std::vector<std::int64_t> shards = {7, 1, 12, 30, 5, 9};
  std::vector<std::int64_t> expected(64);
  std::iota(expected.begin(), expected.end(), 0);
  for (const std::int64_t window : {0, 1, 2, 4, 99}) {
    const auto samples = all_of(EpochOrder(shards, {.window = window}, 5, 2));
    CHECK(samples != expected);
    CHECK(samples != all_of(EpochOrder(shards, {.window = window}, 5, 3)));
    CHECK(samples != all_of(EpochOrder(shards, {.window = window}, 6, 2)));
    CHECK(samples == all_of(EpochOrder(shards, {.window = window}, 5, 2)));
    auto sorted = samples;
    std::sort(sorted.begin(), sorted.end());
    CHECK(sorted == expected);
  }
  CHECK(all_of(EpochOrder(shards, {.shuffle = false, .window = 2}, 5, 2)) == expected);
}

TEST_CASE("Only the shards of one window are mixed", "[data][cpu]") {
  const std::vector<std::int64_t> shards(10, 100);
  const auto samples = all_of(EpochOrder(shards, {.window = 2}, 1, 0));
  for (std::size_t window = 0; window < 5; ++window) {
    std::set<std::int64_t> touched;
    for (std::size_t i = 0; i < 200; ++i) touched.insert(samples[window * 200 + i] / 100);
    CHECK(touched.size() == 2);
  }
}

TEST_CASE("Pieces and lanes visit every sample once", "[data][cpu]") {
  const std::vector<std::int64_t> shards = {70, 1, 12, 130, 50, 94};
  std::vector<std::int64_t> expected(357);
  std::iota(expected.begin(), expected.end(), 0);
  for (const std::int64_t piece : {1, 7, 32, 1000})
    for (const std::int64_t lanes : {1, 2, 5, 8})
      for (const std::int64_t together : {1, 3}) {
        CAPTURE(piece, lanes, together);
        const EpochOrderOptions options{
            .window = 4, .piece_samples = piece, .pieces_together = together, .lanes = lanes};
        auto samples = all_of(EpochOrder(shards, options, 5, 2));
        CHECK(samples != all_of(EpochOrder(shards, options, 5, 3)));
        std::sort(samples.begin(), samples.end());
        CHECK(samples == expected);
      }
}

TEST_CASE("A group of pieces is a few runs of consecutive samples", "[data][cpu]") {
  const std::vector<std::int64_t> shards(20, 100);
  const std::int64_t lanes = 4;
  const EpochOrder order(
      shards, {.window = 8, .piece_samples = 25, .pieces_together = 3, .lanes = lanes}, 1, 0);
  std::map<std::int64_t, std::set<std::int64_t>> groups;
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    std::set<std::int64_t> of_lane;
    for (std::int64_t at = 0; at < order.lane_size(lane); ++at) {
      const auto place = order.locate(lane, at);
      const std::int64_t sample = order.visit(place).index;
      CHECK(sample == order(at * lanes + lane));
      CHECK(place.at < place.group_size);
      groups[place.group].insert(sample);
      of_lane.insert(place.group);
    }
    CHECK(of_lane.size() >= 500 / 75);
  }
  std::map<std::int64_t, std::int64_t> pieces;
  for (const auto& [group, samples] : groups) {
    std::set<std::int64_t> of_group;
    for (const std::int64_t sample : samples) of_group.insert(sample / 25);
    CHECK(of_group.size() <= 3);
    for (const std::int64_t piece : of_group) ++pieces[piece];
  }
  // Only the pieces at the borders of lanes belong to two groups.
  std::int64_t divided = 0;
  for (const auto& [piece, count] : pieces) divided += count - 1;
  CHECK(divided <= lanes - 1);
  CHECK(pieces.size() == 80);
}

TEST_CASE("With replacement a shard is drawn as often as others on average", "[data][cpu]") {
  const std::vector<std::int64_t> shards(50, 10);
  const EpochOrder order(
      shards, {.window = 4, .with_replacement = true, .samples = 20'000, .part = 1}, 3, 1);
  REQUIRE(order.size() == 20'000);
  std::map<std::int64_t, int> draws;
  std::set<std::pair<std::int64_t, std::int64_t>> visits;
  for (std::int64_t i = 0; i < order.size(); ++i) {
    const auto visit = order.visit(order.locate(0, i));
    ++draws[visit.index / 10];
    visits.emplace(visit.index, visit.draw);
  }
  CHECK(visits.size() == 20'000);  // Each draw of a shard visits each of its samples once.
  double chi_squared = 0.0;
  for (std::int64_t shard = 0; shard < 50; ++shard) {
    const double drawn = draws[shard] / 10.0;
    chi_squared += (drawn - 40.0) * (drawn - 40.0) / 40.0;
  }
  CHECK(chi_squared < 94.0);  // 49 degrees of freedom: exceeded once in ten thousand seeds.
  CHECK(chi_squared > 17.0);  // An even division would not be random.
}
