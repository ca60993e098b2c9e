// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

#include "contrapunto/core/random.hpp"

#include <cmath>
#include <set>

#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("Philox gives the published numbers", "[core][cpu]") {
  // Known answers of Random123 for philox4x32 with 10 rounds.
  const std::uint32_t ones = 0xFFFFFFFF;
  CHECK(philox({0, 0, 0, 0}, {0, 0}) ==
        std::array<std::uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox({ones, ones, ones, ones}, {ones, ones}) ==
        std::array<std::uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        std::array<std::uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("A random stream depends only on seed, epoch and index", "[core][cpu]") {
  const auto draw = [](RandomStream stream) {
    std::vector<std::uint32_t> words;
    for (int i = 0; i < 9; ++i) words.push_back(stream.next());
    return words;
  };
  const auto words = draw(RandomStream(1, 2, 3));
  CHECK(draw(RandomStream(1, 2, 3)) == words);
  CHECK(draw(RandomStream(2, 2, 3)) != words);
  CHECK(draw(RandomStream(1, 3, 3)) != words);
  CHECK(draw(RandomStream(1, 2, 4)) != words);
  CHECK(draw(RandomStream(1, 2, 3 + (std::uint64_t{1} << 32))) != words);
  CHECK(draw(RandomStream(1 + (std::uint64_t{1} << 32), 2, 3)) != words);
}

TEST_CASE("Normal numbers have the moments and the tails of a normal distribution", "[core][cpu]") {
  RandomStream random(6);
  std::array<double, 4> moments{};
  constexpr int n = 100'000;
  int beyond_two = 0;
  for (int i = 0; i < n; ++i) {
    const double x = random.normal();
    for (std::size_t power = 0; power < 4; ++power)
      moments[power] += std::pow(x, static_cast<double>(power + 1)) / n;
    beyond_two += std::abs(x) > 2.0;
  }
  CHECK(moments[0] == Approx(0.0).margin(0.016));  // 5 standard errors
  CHECK(moments[1] == Approx(1.0).margin(0.023));
  CHECK(moments[2] == Approx(0.0).margin(0.062));
  CHECK(moments[3] == Approx(3.0).margin(0.16));
  CHECK(beyond_two / static_cast<double>(n) == Approx(0.0455).margin(0.0033));
}

TEST_CASE("Uniform numbers fill their range evenly", "[core][cpu]") {
  RandomStream random(5);
  double sum = 0.0;
  double squares = 0.0;
  std::array<int, 7> seen{};
  constexpr int n = 70'000;
  for (int i = 0; i < n; ++i) {
    const double u = random.uniform();
    REQUIRE((u >= 0.0 && u < 1.0));
    sum += u;
    squares += u * u;
    ++seen[static_cast<std::size_t>(random.integer(7))];
  }
  CHECK(sum / n == Approx(0.5).margin(0.006));  // 5 standard errors
  CHECK(squares / n == Approx(1.0 / 3).margin(0.006));
  double chi_squared = 0.0;
  for (const int count : seen) chi_squared += (count - n / 7.0) * (count - n / 7.0) / (n / 7.0);
  CHECK(chi_squared < 30.0);  // 6 degrees of freedom: p = 4e-5
  CHECK(random.integer(1) == 0);
  const double narrow = random.uniform(-2.0, -1.0);
  CHECK((narrow >= -2.0 && narrow < -1.0));
}

TEST_CASE("Each rank has its own seed in each step, whatever the number of ranks", "[core][cpu]") {
  STATIC_REQUIRE(rank_seed(1, 2, 3) == rank_seed(1, 2, 3));
  std::set<std::uint32_t> low;  // the CPU's generator reads the low 32 bits only
  for (std::int64_t step = 0; step < 64; ++step)
    for (std::int64_t rank = 0; rank < 64; ++rank)
      low.insert(static_cast<std::uint32_t>(rank_seed(5, step, rank)));
  REQUIRE(low.size() == 64 * 64);
  REQUIRE(rank_seed(5, 0, 1) != rank_seed(6, 0, 1));
  REQUIRE(rank_seed(5, 1, 0) != rank_seed(5, std::int64_t{1} << 32, 0));
  // Philox with the step, the rank and a last word that no stream of the data uses.
  const auto words = philox({7, 1, 9, 0xFFFFFFFF}, {5, 2});
  REQUIRE(rank_seed((std::uint64_t{2} << 32) | 5, (std::int64_t{1} << 32) | 7, 9) ==
          ((std::uint64_t{words[0]} << 32) | words[1]));
}

TEST_CASE("A permutation contains every number once", "[core][cpu]") {
  for (const std::int64_t n : {1, 2, 3, 4, 5, 16, 17, 100, 255, 256, 257, 5000, 100'003}) {
    const Permutation order(n, 3, 1, 4);
    std::vector<bool> seen(static_cast<std::size_t>(n));
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t value = order(i);
      REQUIRE((value >= 0 && value < n));
      REQUIRE_FALSE(seen[static_cast<std::size_t>(value)]);
      seen[static_cast<std::size_t>(value)] = true;
    }
  }
  CHECK(Permutation(0, 1).size() == 0);
}

TEST_CASE("Permutations of different streams are unrelated", "[core][cpu]") {
  // The place of number 0 over many epochs, and how often two epochs agree on a place.
  std::array<int, 5> place{};
  for (std::uint64_t epoch = 0; epoch < 5000; ++epoch)
    ++place[static_cast<std::size_t>(Permutation(5, 7, epoch)(0))];
  for (const int count : place) CHECK(std::abs(count - 1000) < 150);  // 5 standard deviations
  const Permutation a(10'000, 7, 1);
  const Permutation b(10'000, 7, 2);
  int equal = 0;
  double rank_product = 0.0;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    equal += a(i) == b(i);
    rank_product += (static_cast<double>(i) - 4999.5) * (static_cast<double>(a(i)) - 4999.5);
  }
  CHECK(equal < 12);                                          // 1 expected
  CHECK(std::abs(rank_product) / (1e4 * 1e8 / 12.0) < 0.05);  // correlation of place and number
}
