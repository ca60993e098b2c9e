// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/distributed/single_process.hpp"

#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

TEST_CASE("One process is a run of one rank", "[distributed][cpu]") {
  const SingleProcess world;
  REQUIRE(world.rank() == 0);
  REQUIRE(world.size() == 1);
  auto tensor = torch::arange(6.0).view({2, 3});
  const auto before = tensor.clone();
  world.all_reduce_sum_(tensor);
  world.broadcast_(tensor, 0);
  world.barrier();
  REQUIRE(tensor.equal(before));
  REQUIRE(world.all_gather(tensor).equal(before.unsqueeze(0)));
  REQUIRE_THROWS_WITH(world.broadcast_(tensor, 1), Contains("root is 1"));
}

TEST_CASE("A gather in one process returns a copy without history", "[distributed][cpu]") {
  const auto tensor = torch::ones({2}, torch::requires_grad());
  auto gathered = SingleProcess{}.all_gather(tensor * 2);
  REQUIRE_FALSE(gathered.requires_grad());
  gathered.zero_();
  REQUIRE(SingleProcess{}.all_gather(torch::tensor(3.0)).sizes() == at::IntArrayRef{1});
  const auto channels_last = torch::rand({1, 3, 2, 2}).contiguous(at::MemoryFormat::ChannelsLast);
  REQUIRE(SingleProcess{}.all_gather(channels_last).is_contiguous());
}
