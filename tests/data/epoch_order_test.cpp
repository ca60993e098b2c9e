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
    const auto samples = all_of(EpochOrder(shards, true, window, 5, 2));
    CHECK(samples != expected);
    CHECK(samples != all_of(EpochOrder(shards, true, window, 5, 3)));
    CHECK(samples != all_of(EpochOrder(shards, true, window, 6, 2)));
    CHECK(samples == all_of(EpochOrder(shards, true, window, 5, 2)));
    auto sorted = samples;
    std::sort(sorted.begin(), sorted.end());
    CHECK(sorted == expected);
  }
  CHECK(all_of(EpochOrder(shards, false, 2, 5, 2)) == expected);
}

TEST_CASE("Only the shards of one window are mixed", "[data][cpu]") {
  const std::vector<std::int64_t> shards(10, 100);
  const auto samples = all_of(EpochOrder(shards, true, 2, 1, 0));
  for (std::size_t window = 0; window < 5; ++window) {
    std::set<std::int64_t> touched;
    for (std::size_t i = 0; i < 200; ++i) touched.insert(samples[window * 200 + i] / 100);
    CHECK(touched.size() == 2);
  }
}
