// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/evaluate/forward_seconds.hpp"

#include <chrono>
#include <thread>

#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("The time of a forward is the median of the calls after the first", "[evaluate][cpu]") {
  int calls = 0;
  bool records = true;
  const auto seconds = forward_seconds(
      [&] {
        records = at::GradMode::is_enabled();
        // The first call and one other are slow; the median is not.
        std::this_thread::sleep_for(std::chrono::milliseconds(calls == 0 || calls == 3 ? 400 : 20));
        return ++calls;
      },
      at::kCPU, 5);
  CHECK(calls == 6);
  CHECK_FALSE(records);
  CHECK(seconds >= 0.02);
  CHECK(seconds < 0.4);
  CHECK_THROWS_WITH(forward_seconds([] { return 0; }, at::kCPU, 0),
                    Catch::Matchers::Contains("repeats (0)"));
}
