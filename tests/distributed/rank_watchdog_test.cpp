// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#ifdef CONTRAPUNTO_HAS_DISTRIBUTED
#include "contrapunto/distributed/rank_watchdog.hpp"

#include <torch/csrc/distributed/c10d/HashStore.hpp>

#include <atomic>

#include "support/catch.hpp"

// Ranks as objects of one process; fault_check.py does the same with processes that die.
using namespace contrapunto;
using Catch::Matchers::Contains;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr RankWatchdogOptions kQuick{
    .interval = milliseconds(20), .timeout = milliseconds(600), .stall_timeout = milliseconds(300)};

struct Rank {
  Rank(const c10::intrusive_ptr<c10d::Store>& store, std::int64_t rank, std::int64_t size,
       RankWatchdogOptions options = kQuick)
      : watchdog(std::make_unique<RankWatchdog>(
            store, rank, size, [this](const std::string&) { ++failures; }, options)) {}
  std::atomic<int> failures = 0;
  std::unique_ptr<RankWatchdog> watchdog;
};

}  // namespace

TEST_CASE("Ranks that finish one after the other report no fault", "[distributed][cpu]") {
  const auto store = c10::make_intrusive<c10d::HashStore>();
  Rank zero(store, 0, 3), one(store, 1, 3), two(store, 2, 3);
  for (std::int64_t step = 0; step < 3; ++step)
    for (auto* rank : {&zero, &one, &two}) rank->watchdog->progress(step);
  two.watchdog->sign_off();
  two.watchdog.reset();
  std::this_thread::sleep_for(milliseconds(800));  // longer than the timeout
  // A rank that reports the same step repeatedly is not stuck.
  one.watchdog->progress(7);  // zero was silent for long but was never behind
  for (int i = 0; i < 8; ++i) {
    std::this_thread::sleep_for(milliseconds(50));
    zero.watchdog->progress(2);
  }
  one.watchdog->sign_off();
  zero.watchdog->sign_off();
  REQUIRE(zero.failures + one.failures + two.failures == 0);
  REQUIRE_FALSE(zero.watchdog->wait_for_failure(milliseconds(0)).has_value());
}

TEST_CASE("Rank 0 signs off last, but does not wait forever", "[distributed][cpu]") {
  const auto store = c10::make_intrusive<c10d::HashStore>();
  Rank zero(store, 0, 2), one(store, 1, 2);
  auto begin = std::chrono::steady_clock::now();
  std::thread later([&] {
    std::this_thread::sleep_for(milliseconds(200));
    one.watchdog->sign_off();
  });
  zero.watchdog->sign_off();
  const auto waited = std::chrono::steady_clock::now() - begin;
  later.join();
  REQUIRE(waited >= milliseconds(200));
  REQUIRE(waited < milliseconds(550));

  const auto other = c10::make_intrusive<c10d::HashStore>();
  Rank first(other, 0, 2), stays(other, 1, 2);
  begin = std::chrono::steady_clock::now();
  first.watchdog->sign_off();
  REQUIRE(std::chrono::steady_clock::now() - begin >= milliseconds(600));
  REQUIRE(std::chrono::steady_clock::now() - begin < seconds(2));
  stays.watchdog->sign_off();
  REQUIRE(first.failures + stays.failures == 0);
}

TEST_CASE("A rank that ends early is named by the others, once", "[distributed][cpu]") {
  const auto store = c10::make_intrusive<c10d::HashStore>();
  Rank zero(store, 0, 3), one(store, 1, 3), two(store, 2, 3);
  one.watchdog->progress(41);
  REQUIRE_FALSE(zero.watchdog->wait_for_failure(milliseconds(100)).has_value());
  one.watchdog.reset();
  const auto said = zero.watchdog->wait_for_failure();
  REQUIRE(said.has_value());
  REQUIRE_THAT(*said, Contains("rank 1 (host ") && Contains(std::to_string(::getpid())) &&
                          Contains("its last step was 41"));
  REQUIRE(two.watchdog->wait_for_failure() == said);
  REQUIRE(zero.failures == 1);  // on_failure has been called when wait_for_failure() returns
  REQUIRE(two.failures == 1);
  REQUIRE(one.failures == 0);
}

TEST_CASE("A rank that never makes its watchdog is named", "[distributed][cpu]") {
  const auto store = c10::make_intrusive<c10d::HashStore>();
  Rank zero(store, 0, 3), one(store, 1, 3);
  const auto said = one.watchdog->wait_for_failure();
  REQUIRE(said.has_value());
  REQUIRE_THAT(*said, Contains("rank 2 has not been heard from within 0.6 s"));
  REQUIRE(zero.watchdog->wait_for_failure() == said);
}

TEST_CASE("A rank behind the others counts as stuck, and ranks at the same step do not",
          "[distributed][cpu]") {
  const auto store = c10::make_intrusive<c10d::HashStore>();
  auto patient = kQuick;
  patient.stall_timeout = milliseconds(0);
  const bool never = GENERATE(false, true);
  Rank zero(store, 0, 2, never ? patient : kQuick), one(store, 1, 2, never ? patient : kQuick);
  zero.watchdog->progress(3);
  one.watchdog->progress(3);
  REQUIRE_FALSE(zero.watchdog->wait_for_failure(milliseconds(500)).has_value());
  zero.watchdog->progress(4);
  const auto said = one.watchdog->wait_for_failure(milliseconds(never ? 500 : 5000));
  REQUIRE(said.has_value() != never);
  if (!never)
    REQUIRE_THAT(*said, Contains("rank 1 (host") && Contains("is alive but has made no progress") &&
                            Contains("last step was 3, others are at step 4"));
}

TEST_CASE("A watchdog for one rank does nothing, and bad options are refused",
          "[distributed][cpu]") {
  const auto store = c10::make_intrusive<c10d::HashStore>();
  const auto ignore = [](const std::string&) {};
  RankWatchdog alone(store, 0, 1, ignore);
  alone.progress(1);
  alone.sign_off();
  REQUIRE_FALSE(alone.wait_for_failure().has_value());
  REQUIRE(store->getNumKeys() == 0);
  REQUIRE_THROWS_WITH(RankWatchdog(store, 2, 2, ignore), Contains("rank 2 of 2 ranks"));
  REQUIRE_THROWS_WITH(RankWatchdog(store, 0, 2, nullptr), Contains("on_failure is empty"));
  REQUIRE_THROWS_WITH(RankWatchdog(store, 0, 2, ignore, {.timeout = seconds(2)}),
                      Contains("timeout is 2000 ms") && Contains("3 intervals of 1000 ms"));
  REQUIRE_THROWS_WITH(RankWatchdog(store, 0, 2, ignore, {.stall_timeout = seconds(-1)}),
                      Contains("stall_timeout is -1000 ms"));
}
#endif
