// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/log/throughput_meter.hpp"

#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("Throughput counts neither evaluation nor checkpoints", "[log][cpu]") {
  double now = 100;
  ThroughputMeter meter([&] { return now; });
  for (int step = 0; step < 4; ++step) {
    now += 2;
    meter.add(64);
    const auto evaluation = meter.pause();
    now += 10;
  }
  const auto window = meter.next_window({.wait = 2});
  CHECK(window.seconds == 8);
  CHECK(window.samples_per_second == 32);
  CHECK(window.data_wait_fraction == 0.25);

  now += 2;
  meter.add(10);
  const auto next = meter.next_window({.wait = 2.5});
  CHECK(next.samples_per_second == 5);
  CHECK(next.data_wait_fraction == 0.25);
  CHECK(meter.next_window({.wait = 2.5}).samples_per_second == 0);
}

TEST_CASE("The work of the loader is divided among its parts in each window", "[log][cpu]") {
  double now = 0;
  ThroughputMeter meter([&] { return now; });
  now = 10;
  CHECK(meter.next_window({.wait = 1}).values().size() == 2);  // A loader without threads.
  const DataTimes first = {.wait = 1, .read = 3, .decode = 4, .transform = 2, .tokenize = 1};
  CHECK(meter.next_window(first).data.decode == 4);
  const auto window =
      meter.next_window({.wait = 2, .read = 4, .decode = 9, .transform = 3, .tokenize = 2});
  const std::vector<std::pair<std::string, double>> parts = {{"data_read_fraction", 0.125},
                                                             {"data_decode_fraction", 0.625},
                                                             {"data_transform_fraction", 0.125},
                                                             {"data_tokenize_fraction", 0.125}};
  const auto values = window.values();
  REQUIRE(values.size() == 6);
  CHECK(std::vector(values.begin() + 2, values.end()) == parts);
}

TEST_CASE("The default clock moves forward", "[log][cpu]") {
  ThroughputMeter meter;
  const double begin = steady_seconds();
  while (steady_seconds() - begin < 0.002) {
  }
  meter.add(1);
  const auto window = meter.next_window();
  CHECK(window.seconds >= 0.002);
  CHECK(window.samples_per_second > 0);
}
