// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/data/detail/sample_order.hpp"

#include <map>
#include <set>

#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;
using contrapunto::detail::SampleOrder;

namespace {

const std::vector<std::int64_t> kShards = {40, 25, 10, 60, 15};
const std::vector<SourcePart> kParts = {{"a", 2, 0.5}, {"b", 1, 0.2}, {"c", 2, 0.3}};

const std::vector<double> kSizes = {65, 10, 75};

std::size_t part_of(std::int64_t index) {
  return index < 65 ? 0 : index < 75 ? 1 : 2;
}

}  // namespace

TEST_CASE("Without parts an epoch is a pass", "[data][cpu]") {
  SampleOrder order(kShards, {}, {.window = 2}, 0);
  for (const std::int64_t epoch : {0, 3}) {
    order.start(7, epoch);
    const EpochOrder pass(kShards, {.window = 2}, 7, epoch);
    REQUIRE(order.size() == 150);
    for (std::int64_t i = 0; i < 150; ++i) {
      CHECK(order(i).index == pass(i));
      CHECK(order(i).pass == epoch);
    }
  }
  CHECK(order.describe().empty());
}

TEST_CASE("Parts take turns in proportion to their shares", "[data][cpu]") {
  for (const std::int64_t lanes : {1, 4}) {
    EpochOrderOptions options{.window = 2, .lanes = lanes};
    if (lanes > 1) options.piece_samples = 5;
    SampleOrder order(kShards, kParts, options, 200);
    order.start(1, 0);
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      std::array<double, 3> counts{};
      for (std::int64_t i = lane; i < order.size(); i += lanes) {
        ++counts[part_of(order(i).index)];
        const auto n = static_cast<double>(i / lanes + 1);
        for (std::size_t p = 0; p < 3; ++p) CHECK(std::abs(counts[p] - n * kParts[p].share) < 2.0);
      }
    }
  }
}

TEST_CASE("Each pass of a part visits each of its samples once, over epochs of any length",
          "[data][cpu]") {
  for (const std::int64_t samples : {0, 7, 64, 333})
    for (const std::int64_t lanes : {1, 3})
      for (const bool parts : {true, false}) {
        CAPTURE(samples, lanes, parts);
        EpochOrderOptions options{.window = 2, .lanes = lanes};
        if (lanes > 1) options.piece_samples = 4;
        SampleOrder order(kShards, parts ? kParts : std::vector<SourcePart>(), options, samples);
        std::map<std::int64_t, std::set<std::int64_t>> visited;  // By pass.
        std::int64_t visits = 0;
        for (std::int64_t epoch = 0; epoch < 12; ++epoch) {
          order.start(3, epoch);
          for (std::int64_t i = 0; i < order.size(); ++i, ++visits) {
            const auto [index, pass] = order(i);
            CHECK(visited[pass].insert(index).second);
          }
        }
        // A pass begins after the one before it has ended. Lanes differ by one sample in their
        // lengths L and by one in the visits V of an epoch, so their passes drift apart a little.
        constexpr double kEpochs = 12.0;
        std::map<std::int64_t, std::int64_t> times;
        for (const auto& [pass, indexes] : visited)
          for (const std::int64_t index : indexes) ++times[index];
        for (std::size_t p = 0; p < 3; ++p) {
          std::int64_t least = visits, most = 0;
          for (std::int64_t index = 0; index < 150; ++index)
            if (part_of(index) == p || !parts) {
              least = std::min(least, times[index]);
              most = std::max(most, times[index]);
            }
          const double lane = (parts ? kSizes[p] : 150.0) / static_cast<double>(lanes);
          const double visited_in_lane = kEpochs * static_cast<double>(order.size()) *
                                         (parts ? kParts[p].share : 1.0) /
                                         static_cast<double>(lanes);
          const bool drifts = lanes > 1 && (parts || samples > 0);
          const double drift =
              drifts ? 1.0 + (visited_in_lane / (lane - 1.0) + kEpochs) / lane : 0.0;
          CHECK(static_cast<double>(most - least) <= 1.0 + drift);
        }
      }
}

TEST_CASE("The groups of an order hold its samples", "[data][cpu]") {
  EpochOrderOptions options{.window = 2, .piece_samples = 4, .pieces_together = 2, .lanes = 2};
  SampleOrder order(kShards, kParts, options, 180);
  order.start(3, 1);
  std::map<SampleOrder::Group, std::vector<std::int64_t>> places;
  for (std::int64_t i = 0; i < order.size(); ++i) {
    const auto place = order.locate(i);
    CHECK(place.at < place.group_size);
    places[place.group].push_back(place.at);
  }
  // The positions of a group are consecutive and in order, so they can be counted.
  for (const auto& [group, at] : places)
    for (std::size_t i = 1; i < at.size(); ++i) CHECK(at[i] == at[i - 1] + 1);
}

TEST_CASE("Visits with replacement differ by their pass", "[data][cpu]") {
  SampleOrder order(kShards, kParts, {.window = 2, .with_replacement = true}, 600);
  std::set<std::pair<std::int64_t, std::int64_t>> visits;
  for (const std::int64_t epoch : {0, 1}) {
    order.start(3, epoch);
    for (std::int64_t i = 0; i < order.size(); ++i) visits.emplace(order(i).index, order(i).pass);
  }
  CHECK(visits.size() == 1200);
}

TEST_CASE("The mixture is described", "[data][cpu]") {
  const SampleOrder order(kShards, kParts, {}, 300);
  CHECK(order.describe() ==
        std::vector<std::string>{"a: 50 % of an epoch, which visits each of 65 samples 2.31 times",
                                 "b: 20 % of an epoch, which visits each of 10 samples 6 times",
                                 "c: 30 % of an epoch, which visits each of 75 samples 1.2 times"});
}

TEST_CASE("A wrong mixture is refused", "[data][cpu]") {
  const auto make = [](std::vector<SourcePart> parts, std::int64_t samples = 0) {
    return SampleOrder(kShards, parts, {}, samples);
  };
  CHECK_THROWS_WITH(make({{"a", 2, 0.0}, {"b", 3, 1.0}}), Contains("the share of a (0)"));
  CHECK_THROWS_WITH(make({{"a", 2, NAN}, {"b", 3, 1.0}}), Contains("must be positive"));
  CHECK_THROWS_WITH(make({{"a", 2, 1.0}}), Contains("fewer shards"));
  CHECK_THROWS_WITH(make({{"a", 6, 1.0}}), Contains("more shards"));
  CHECK_THROWS_WITH(make({}, -1), Contains("epoch_samples (-1)"));
  CHECK_THROWS_WITH(make(kParts, 10'000'000), Contains("lower its share or epoch_samples"));
}
