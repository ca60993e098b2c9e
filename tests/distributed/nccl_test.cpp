// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include <torch/csrc/distributed/c10d/HashStore.hpp>

#include "contrapunto/distributed/gather_rows.hpp"
#include "contrapunto/distributed/join_ranks.hpp"
#include "contrapunto/distributed/process_group.hpp"
#include "distributed/rank_processes.hpp"
#include "support/catch.hpp"

using namespace contrapunto;

TEST_CASE("NCCL with one rank leaves tensors as they are", "[distributed][gpu]") {
  if (!torch::cuda::is_available()) {
    WARN("no CUDA device: skipped");
    return;
  }
  ProcessGroupOptions options;
  options.timeout = std::chrono::seconds(30);
  const auto world = connect_nccl(c10::make_intrusive<c10d::HashStore>(), 0, 1, options);
  auto tensor = torch::arange(12.0, torch::kCUDA).view({3, 4});
  const auto before = tensor.clone();
  world.all_reduce_sum_(tensor);
  world.broadcast_(tensor, 0);
  world.barrier();
  REQUIRE(tensor.equal(before));
  REQUIRE(world.all_gather(tensor.t()).equal(before.t().unsqueeze(0)));
  REQUIRE(world.device() == c10::Device(c10::kCUDA, 0));
  REQUIRE(world.all_reduce_sum_async(tensor).wait().equal(before));
  REQUIRE(world.reduce_scatter_sum(tensor.unsqueeze(0)).equal(before));
  REQUIRE(world.ring_shift(tensor, 1).wait().equal(before));
  const auto gathered = gather_rows(world, tensor);
  REQUIRE(gathered.rows.equal(before));
  REQUIRE(gathered.sizes == std::vector<std::int64_t>{3});
}

TEST_CASE("A rank trains on its GPU, alone and over NCCL", "[distributed][gpu]") {
  if (!torch::cuda::is_available()) {
    WARN("no CUDA device: skipped");
    return;
  }
  const c10::Device gpu(c10::kCUDA, 0);
  REQUIRE(join_ranks(LaunchEnvironment{}, {.device = "cuda"}).device() == gpu);
  REQUIRE(join_ranks(LaunchEnvironment{}).device() == gpu);
  LaunchEnvironment launch;
  launch.master_port = test::free_port();
  const auto ranks = contrapunto::detail::connect_joined_ranks(launch, gpu, {});
  REQUIRE(ranks.device() == gpu);
  auto tensor = torch::ones({2}, gpu);
  ranks.all_reduce_sum_(tensor);
  REQUIRE(tensor.equal(torch::ones({2}, gpu)));
  REQUIRE(ranks.all_reduce_min(7) == 7);
  ranks.sign_off();
}

TEST_CASE("Without a CUDA device NCCL refuses to start", "[distributed][cpu]") {
  if (torch::cuda::is_available()) {
    WARN("there is a CUDA device: skipped");
    return;
  }
  REQUIRE_THROWS_WITH(connect_nccl(c10::make_intrusive<c10d::HashStore>(), 0, 1),
                      Catch::Matchers::Contains("GPU"));
}
