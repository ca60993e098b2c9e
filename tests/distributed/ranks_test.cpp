// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/distributed/ranks.hpp"

#include "contrapunto/distributed/samples_per_rank.hpp"
#include "support/catch.hpp"
#include "support/some_rank.hpp"
#include "support/thread_ranks.hpp"

using namespace contrapunto;

TEST_CASE("Ranks are one process by default", "[distributed][cpu]") {
  const Ranks alone;
  REQUIRE(alone.size() == 1);
  REQUIRE(alone.is_first());
  REQUIRE(alone.all_reduce_min(7) == 7);
  REQUIRE(alone.all_gather(torch::ones({2})).sizes() == at::IntArrayRef{1, 2});
  alone.progress(1);
  alone.sign_off();
  REQUIRE(alone.explain(c10::Error("no data left", nullptr)) == "no data left");
  REQUIRE(Ranks(SingleProcess(c10::Device(c10::kMeta))).device() == c10::Device(c10::kMeta));
}

TEST_CASE("Ranks forward every operation to their communicator", "[distributed][cpu]") {
  std::vector<at::Tensor> sums(3), shifted(3);
  std::vector<std::int64_t> smallest(3);
  test::run_thread_ranks(3, [&](const test::ThreadRank& rank) {
    const Ranks ranks(rank);
    const auto r = static_cast<std::size_t>(ranks.rank());
    auto sum = torch::full({2}, static_cast<double>(ranks.rank() + 1));
    ranks.all_reduce_sum_(sum);
    sums[r] = sum;
    shifted[r] = ranks.ring_shift(torch::full({1}, static_cast<double>(ranks.rank())), 1).wait();
    smallest[r] = ranks.all_reduce_min(10 - ranks.rank());
  });
  for (std::size_t r = 0; r < 3; ++r) {
    INFO("rank " << r);
    REQUIRE(sums[r].equal(torch::full({2}, 6.0)));
    REQUIRE(shifted[r].item<double>() == static_cast<double>((r + 1) % 3));
    REQUIRE(smallest[r] == 8);
  }
}

TEST_CASE("A batch is parted evenly among the ranks, or refused", "[distributed][cpu]") {
  REQUIRE(samples_per_rank(12, Ranks()) == 12);
  REQUIRE(samples_per_rank(12, test::SomeRank{0, 4}) == 3);
  REQUIRE_THROWS_WITH(samples_per_rank(10, test::SomeRank{0, 4}),
                      Catch::Matchers::Contains("(10)") && Catch::Matchers::Contains("ranks (4)"));
  REQUIRE_THROWS_WITH(samples_per_rank(0, Ranks()), Catch::Matchers::Contains("(0)"));
}
