// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/distributed/join_ranks.hpp"

#include "contrapunto/distributed/broadcast_tensors.hpp"
#include "distributed/rank_processes.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;
using std::chrono::milliseconds;

namespace {

LaunchEnvironment local_rank(std::int64_t rank, std::int64_t size) {
  LaunchEnvironment launch;
  launch.rank = launch.local_rank = rank;
  launch.size = launch.local_size = size;
  return launch;
}

}  // namespace

TEST_CASE("Without a launcher join_ranks gives one process on the requested device",
          "[distributed][cpu]") {
  const Ranks ranks = join_ranks(LaunchEnvironment{}, {.device = "cpu"});
  REQUIRE(ranks.size() == 1);
  REQUIRE(ranks.device() == c10::Device(c10::kCPU));
  ranks.progress(3);
  REQUIRE(ranks.explain(std::runtime_error("no data left")) == "no data left");
  ranks.sign_off();
}

TEST_CASE("Each local rank takes its GPU, and impossible devices are refused",
          "[distributed][cpu]") {
  const auto device = [](const std::string& name, std::int64_t rank, std::int64_t size,
                         std::int64_t gpus) {
    return contrapunto::detail::rank_device(name, local_rank(rank, size), gpus).str();
  };
  CHECK(device("", 0, 1, 0) == "cpu");
  CHECK(device("", 0, 1, 2) == "cuda:0");
  CHECK(device("cpu", 3, 4, 4) == "cpu");
  CHECK(device("cuda", 3, 4, 4) == "cuda:3");
  CHECK(device("cuda", 3, 4, 1) == "cuda:0");  // the launcher shows each rank its own GPU only
  CHECK(device("cuda:1", 0, 1, 2) == "cuda:1");
  CHECK_THROWS_WITH(device("cuda", 0, 1, 0), Contains("finds no CUDA device"));
  CHECK_THROWS_WITH(device("cuda:1", 0, 2, 2), Contains("2 ranks run on this machine"));
  CHECK_THROWS_WITH(device("cuda", 3, 4, 2), Contains("local rank 3 would train on cuda:3") &&
                                                 Contains("sees only 2 CUDA devices"));
  CHECK_THROWS_WITH(device("cuda:2", 0, 1, 2), Contains("cuda:2"));
  for (const auto* name :
       {"gpu", "meta", "cuda:", "cuda:x", "cuda:-1", "cuda:99999999999999999999"})
    CHECK_THROWS_WITH(device(name, 0, 1, 2), Contains(name) && Contains("expected \"cpu\""));
  CHECK_THROWS_WITH(join_ranks(LaunchEnvironment{}, {.timeout = milliseconds(0)}),
                    Contains("timeout is 0 ms"));
}

#ifdef CONTRAPUNTO_HAS_DISTRIBUTED
TEST_CASE("rank that joins the others", "[.rank]") {
  if (::getenv("CONTRAPUNTO_TEST_RANKS") == nullptr) return;
  const Ranks ranks = join_ranks({.device = "cpu", .timeout = std::chrono::seconds(15)});
  REQUIRE(ranks.size() == 3);
  REQUIRE(ranks.device() == c10::Device(c10::kCPU));
  auto sum = torch::ones({2}) * static_cast<double>(ranks.rank() + 1);
  ranks.all_reduce_sum_(sum);
  REQUIRE(sum.equal(torch::full({2}, 6.0)));
  REQUIRE(ranks.explain(std::runtime_error("no data left")) ==
          "rank " + std::to_string(ranks.rank()) + " of 3: no data left");

  torch::manual_seed(ranks.rank());
  torch::nn::Sequential model(torch::nn::Linear(3, 4), torch::nn::BatchNorm1d(4));
  (void)model->forward(torch::randn({8, 3}));  // its running statistics differ as well
  broadcast_module_(*model, ranks, 1);
  for (const auto& tensors : {model->parameters(), model->buffers()})
    for (const auto& tensor : tensors)
      REQUIRE(ranks.all_gather(tensor).eq(tensor.detach().unsqueeze(0)).all().item<bool>());
  torch::nn::Sequential other(torch::nn::Linear(3, ranks.rank() == 2 ? 5 : 4));
  REQUIRE_THROWS_WITH(
      broadcast_module_(*other, ranks),
      Contains("parameters and buffers differ: 0.weight: rank 2 has 'Float [5, 3]', "
               "rank 0 has 'Float [4, 3]'; 0.bias: "));
  ranks.progress(1);
  ranks.barrier();
  ranks.sign_off();
}

TEST_CASE("Three processes join through the environment of their launcher", "[distributed][cpu]") {
  const auto codes = test::run_ranks("rank that joins the others", 3,
                                     {{"MASTER_ADDR", "127.0.0.1"},
                                      {"MASTER_PORT", std::to_string(test::free_port())},
                                      {"CONTRAPUNTO_TEST_RANKS", "1"}});
  REQUIRE(codes == std::vector<int>(3, 0));
}

TEST_CASE("A rank that never starts is named by those that wait for it", "[distributed][cpu]") {
  auto launch = local_rank(0, 2);
  launch.master_port = test::free_port();
  REQUIRE_THROWS_WITH(join_ranks(launch, {.device = "cpu", .timeout = milliseconds(300)}),
                      Contains("only 1 of 2 ranks arrived within 300 ms; missing: 1"));
}

TEST_CASE("Only errors of collectives are attributed to other ranks", "[distributed][cpu]") {
  REQUIRE(is_rank_failure(
      std::runtime_error("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:541] Connection "
                         "closed by peer [127.0.0.1]:4711")));
  REQUIRE_FALSE(is_rank_failure(std::runtime_error("no data left")));
  REQUIRE_FALSE(is_rank_failure(std::runtime_error("[3] is no label of the gloo data set")));
  REQUIRE_FALSE(is_rank_failure(std::runtime_error("")));
}
#endif
