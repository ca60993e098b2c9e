// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#ifdef CONTRAPUNTO_HAS_DISTRIBUTED
#include "contrapunto/distributed/rank_checks.hpp"

#include "contrapunto/distributed/broadcast_tensors.hpp"
#include "contrapunto/distributed/single_process.hpp"
#include "distributed/local_world.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

TEST_CASE("rank that compares itself with the others", "[.rank]") {
  const auto local = test::join_local_world();
  if (!local) return;
  const auto& world = local->world;
  const auto rank = world.rank();

  REQUIRE(ranks_where(world, rank > 0) == std::vector<std::int64_t>{1, 2});
  REQUIRE(ranks_where(world, false).empty());

  check_same_on_all_ranks(world, "batch size", 256);
  REQUIRE_THROWS_WITH(
      check_same_on_all_ranks(world, "batch size", rank == 1 ? 512 : 256),
      Contains(
          "batch size differs: rank 1 has 512, rank 0 has 256; start all ranks with the same"));
  REQUIRE_THROWS_WITH(check_same_on_all_ranks(world, "seed", rank),
                      Contains("rank 1 has 1, rank 2 has 2, rank 0 has 0"));

  check_same_on_all_ranks(world, "model", "ViT-B-32");
  check_same_on_all_ranks(world, "model", "");
  REQUIRE_THROWS_WITH(check_same_on_all_ranks(world, "model", rank == 2 ? "" : "RN50"),
                      Contains("model differs: rank 2 has '', rank 0 has 'RN50'"));
  const std::string head(500, 'a');
  const std::string tail(500, 'z');
  REQUIRE_THROWS_WITH(
      check_same_on_all_ranks(world, "configuration", head + (rank == 1 ? "lr=2" : "lr=1") + tail),
      Contains("rank 1 has '...aaaa") && Contains("lr=2zzz") && Contains("lr=1zzz") &&
          !Contains("rank 2"));

  using Entries = std::vector<std::pair<std::string, std::string>>;
  const Entries same{{"model", "ViT-B-32"}, {"seed", ""}, {"a:b", "1:2"}};
  check_same_on_all_ranks(world, "the settings", same);
  REQUIRE_THROWS_WITH(
      check_same_on_all_ranks(world, "the settings",
                              Entries{{"model", "ViT-B-32"},
                                      {"batch_size", rank == 1 ? "512" : "256"},
                                      {"a:b", "1:2"},
                                      {"name", rank == 2 ? "" : "3:x"}}),
      Contains("the settings differ: batch_size: rank 1 has '512', rank 0 has '256'; name: rank 2 "
               "has '', rank 0 has '3:x'; start all ranks with the same") &&
          !Contains("model") && !Contains("a:b"));
  auto more = same;
  if (rank == 1) more.emplace_back("new", "1");
  REQUIRE_THROWS_WITH(check_same_on_all_ranks(world, "the settings", more),
                      Contains("differ: new: rank 1 has '1', rank 0 has no such entry; start"));
  Entries many;
  for (int i = 0; i < 13; ++i) many.emplace_back("s" + std::to_string(i), std::to_string(rank));
  REQUIRE_THROWS_WITH(check_same_on_all_ranks(world, "the settings", many),
                      Contains("s9: rank 1 has '1', rank 2 has '2', rank 0 has '0'; 3 more differ; "
                               "start") &&
                          !Contains("s10"));
  auto turned = same;
  if (rank == 2) std::swap(turned[0], turned[1]);
  REQUIRE_THROWS_WITH(check_same_on_all_ranks(world, "the settings", turned),
                      Contains("the settings differ in their order"));
  const auto long_value = [&](const std::string& end) {
    return Entries{{"prompts", std::string(500, 'p') + end}};
  };
  REQUIRE_THROWS_WITH(
      check_same_on_all_ranks(world, "the settings", long_value(rank == 1 ? "x" : "y")),
      Contains("prompts: rank 1 has '...ppp") && Contains("ppx', rank 0 has '...ppp") &&
          Contains("ppy'; start"));

  auto weight = torch::full({2, 3}, static_cast<double>(rank), torch::requires_grad());
  auto count = torch::full({}, rank, torch::kLong);
  auto channels_last = torch::full({1, 2, 3, 3}, static_cast<double>(rank))
                           .contiguous(at::MemoryFormat::ChannelsLast);
  broadcast_tensors_({weight, count, channels_last}, world, 2);
  REQUIRE(weight.detach().equal(torch::full({2, 3}, 2.0)));
  REQUIRE(weight.is_leaf());
  REQUIRE(count.item<std::int64_t>() == 2);
  REQUIRE(channels_last.equal(torch::full({1, 2, 3, 3}, 2.0)));
  REQUIRE_THROWS_WITH(broadcast_tensors_({torch::ones({rank == 1 ? 3 : 2})}, world),
                      Contains("list of tensors differs") && Contains("rank 1 has '1 tensors; "
                                                                      "Float [3]'"));
  world.barrier();
}

TEST_CASE("Ranks raise when their values differ, and name the difference", "[distributed][cpu]") {
  REQUIRE(test::run_local_ranks("rank that compares itself with the others", 3));
}

TEST_CASE("Comparing settings in one process finds no difference", "[distributed][cpu]") {
  const SingleProcess world;
  check_same_on_all_ranks(world, "batch size", 256);
  check_same_on_all_ranks(world, "model", "RN50");
  check_same_on_all_ranks(world, "the settings",
                          std::vector<std::pair<std::string, std::string>>{{"model", "RN50"}});
  REQUIRE(ranks_where(world, true) == std::vector<std::int64_t>{0});
  auto tensor = torch::ones({2});
  broadcast_tensors_({tensor}, world);
  REQUIRE(tensor.equal(torch::ones({2})));
}
#endif
