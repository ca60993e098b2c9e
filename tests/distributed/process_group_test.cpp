// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#ifdef CONTRAPUNTO_HAS_DISTRIBUTED
#include "contrapunto/distributed/process_group.hpp"

#include <torch/csrc/distributed/c10d/HashStore.hpp>

#include <filesystem>

#include "contrapunto/loss/info_nce.hpp"
#include "contrapunto/loss/local_info_nce.hpp"
#include "contrapunto/loss/tiled_info_nce.hpp"
#include "contrapunto/nn/sync_batch_norm.hpp"
#include "distributed/rank_processes.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

ProcessGroupOptions local_options() {
  ProcessGroupOptions options;
  options.timeout = seconds(15);
  options.gloo_address = "127.0.0.1";
  options.gloo_threads = 1;
  return options;
}

std::string fresh_path(const std::string& name) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("contrapunto-" + name + "-" + std::to_string(::getpid()));
  std::filesystem::remove(path);
  return path.string();
}

// The tensor of rank r: values that tell rank and position apart.
at::Tensor of_rank(std::int64_t r, at::ScalarType dtype = at::kFloat) {
  return (torch::arange(12, torch::kDouble).view({3, 4}) + 100 * static_cast<double>(r)).to(dtype);
}

void check_operations(const ProcessGroupCommunicator& world) {
  const auto size = world.size();
  const double ranks = static_cast<double>(size);
  const auto of_ranks = 100 * ranks * (ranks - 1) / 2;  // sum of 100 r
  for (const auto dtype : {at::kFloat, at::kDouble, at::kLong}) {
    auto sum = of_rank(world.rank(), dtype);
    world.all_reduce_sum_(sum);
    const auto expected = (torch::arange(12, torch::kDouble).view({3, 4}) * ranks + of_ranks);
    REQUIRE(sum.equal(expected.to(dtype)));

    const auto gathered = world.all_gather(of_rank(world.rank(), dtype));
    REQUIRE(gathered.sizes() == at::IntArrayRef{size, 3, 4});
    for (std::int64_t r = 0; r < size; ++r) REQUIRE(gathered[r].equal(of_rank(r, dtype)));

    for (std::int64_t root = 0; root < size; ++root) {
      auto received = of_rank(world.rank(), dtype);
      world.broadcast_(received, root);
      REQUIRE(received.equal(of_rank(root, dtype)));
    }
  }

  // Strides may differ: one side has a transposed view, the other a plain tensor.
  auto transposed = world.rank() == 0 ? of_rank(0).t().contiguous().t() : of_rank(world.rank());
  REQUIRE(transposed.is_contiguous() == (world.rank() != 0));
  world.broadcast_(transposed, size - 1);
  REQUIRE(transposed.equal(of_rank(size - 1)));
  transposed = world.rank() == 0 ? of_rank(0).t().contiguous().t() : of_rank(world.rank());
  REQUIRE(world.all_gather(transposed)[0].equal(of_rank(0)));
  world.all_reduce_sum_(transposed);
  REQUIRE(transposed.equal(torch::arange(12.0).view({3, 4}) * ranks + of_ranks));

  auto scalar = torch::tensor(static_cast<double>(world.rank()), torch::kFloat);
  REQUIRE(world.all_gather(scalar).equal(torch::arange(size).to(torch::kFloat)));

  // A leaf that requires a gradient is updated in place and keeps no history.
  auto leaf = torch::ones({2}, torch::requires_grad());
  world.all_reduce_sum_(leaf);
  REQUIRE(leaf.is_leaf());
  REQUIRE(leaf.detach().equal(torch::full({2}, ranks)));
  REQUIRE_FALSE(world.all_gather(leaf * 2).requires_grad());
  REQUIRE_THROWS_WITH(world.broadcast_(leaf, size), Contains("root is " + std::to_string(size)));
}

// Compares what is built on the operations with one process that has the samples of all ranks.
void check_training(const ProcessGroupCommunicator& world) {
  torch::manual_seed(4);
  const auto size = world.size();
  const auto begin = 3 * world.rank();
  const auto images = torch::randn({3 * size, 5, 2, 2}, torch::kDouble);
  const auto weights = torch::randn_like(images);
  const auto run = [&](BatchNorm norm, std::int64_t first, std::int64_t count) {
    norm->to(torch::kDouble);
    const auto x = images.narrow(0, first, count).clone().requires_grad_();
    const auto y = norm(x);
    (y * y * weights.narrow(0, first, count)).sum().backward();
    return std::vector<at::Tensor>{y.detach(), x.grad(), norm->running_var, norm->weight.grad()};
  };
  const auto whole = run(BatchNorm(5), 0, 3 * size);
  BatchNorm synchronized(5);
  synchronize_batch_norm(*synchronized, world);
  auto part = run(synchronized, begin, 3);
  world.all_reduce_sum_(part[3]);
  CHECK(test::close(part[0], whole[0].narrow(0, begin, 3)));
  CHECK(test::close(part[1], whole[1].narrow(0, begin, 3)));
  CHECK(test::close(part[2], whole[2]));
  CHECK(test::close(part[3], whole[3]));

  const auto features = torch::randn({2, 3 * size, 8}, torch::kDouble);
  const auto scale = torch::tensor(3.0, torch::kDouble);
  const auto gradients = [&](const auto& loss, std::int64_t first, std::int64_t count) {
    const auto x = features[0].narrow(0, first, count).clone().requires_grad_();
    const auto y = features[1].narrow(0, first, count).clone().requires_grad_();
    const LossTerms terms = loss({x, y, scale});
    terms.total.backward();
    return std::vector<at::Tensor>{terms.total.detach(), x.grad(), y.grad()};
  };
  const auto expected = gradients(InfoNce{}, 0, 3 * size);
  const auto check = [&](const auto& loss) {
    const auto own = gradients(loss, begin, 3);
    CHECK(test::close(own[0], expected[0]));
    CHECK(test::close(own[1], expected[1].narrow(0, begin, 3)));
    CHECK(test::close(own[2], expected[2].narrow(0, begin, 3)));
  };
  check(TiledInfoNce({.ring = false}, world));
  check(TiledInfoNce({.ring = true}, world));
  check(LocalInfoNce({.gather_with_grad = true}, world));
}

}  // namespace

// This is the program of each process in the tests below and not a test by itself. Catch 2 runs
// hidden tests when it is given only exclusions.
TEST_CASE("rank of a process group", "[.rank]") {
  const char* file_store = ::getenv("CONTRAPUNTO_TEST_FILE_STORE");
  if (file_store == nullptr) return;
  const auto launch = read_launch_environment(::getenv);
  const auto options = local_options();
  const auto store = open_tcp_store(launch, options.timeout);
  const auto world = connect_gloo(store, launch.rank, launch.size, options);
  REQUIRE(world.rank() == launch.rank);
  REQUIRE(world.size() == launch.size);
  check_operations(world);
  check_training(world);

  const auto file = open_file_store(file_store, launch.size);
  const auto second = connect_gloo(file, launch.rank, launch.size, options);
  check_operations(second);

  // No rank passes the barrier before the last rank, which is late, has written its key.
  if (launch.rank == launch.size - 1) {
    std::this_thread::sleep_for(milliseconds(200));
    store->set("late", std::vector<std::uint8_t>{1});
  }
  world.barrier();
  REQUIRE(store->check({"late"}));
  world.barrier();  // rank 0 hosts the store and must not leave before the others have asked
}

TEST_CASE("Two processes reduce, gather and broadcast over TCP and over a file",
          "[distributed][cpu]") {
  const auto file = fresh_path("store");
  const auto codes = test::run_ranks("rank of a process group", 2,
                                     {{"MASTER_ADDR", "127.0.0.1"},
                                      {"MASTER_PORT", std::to_string(test::free_port())},
                                      {"CONTRAPUNTO_TEST_FILE_STORE", file}});
  std::filesystem::remove(file);
  REQUIRE(codes == std::vector<int>{0, 0});
}

TEST_CASE("When the launcher hosts the store, rank 0 is a client like the others",
          "[distributed][cpu]") {
  c10d::TCPStoreOptions agent;
  agent.port = 0;
  agent.isServer = true;
  agent.waitWorkers = false;
  const auto server = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", agent);
  const auto file = fresh_path("agent");
  const auto codes = test::run_ranks("rank of a process group", 2,
                                     {{"MASTER_ADDR", "127.0.0.1"},
                                      {"MASTER_PORT", std::to_string(server->getPort())},
                                      {"TORCHELASTIC_USE_AGENT_STORE", "True"},
                                      {"TORCHELASTIC_RESTART_COUNT", "3"},
                                      {"CONTRAPUNTO_TEST_FILE_STORE", file}});
  std::filesystem::remove(file);
  REQUIRE(codes == std::vector<int>{0, 0});
  REQUIRE(server->check({"restart/3/arrived/0", "restart/3/arrived/1"}));
}

TEST_CASE("A missing rank raises within the timeout, and the error names it",
          "[distributed][cpu]") {
  auto options = local_options();
  options.arrival_timeout = milliseconds(500);
  const auto start = std::chrono::steady_clock::now();
  const auto refuses = [&](const c10::intrusive_ptr<c10d::Store>& store) {
    REQUIRE_THROWS_WITH(connect_gloo(store, 1, 3, options), Contains("only 1 of 3 ranks arrived") &&
                                                                Contains("500 ms") &&
                                                                Contains("missing: 0, 2"));
  };
  SECTION("in memory") {
    refuses(c10::make_intrusive<c10d::HashStore>());
  }
  SECTION("in a file") {
    const auto file = fresh_path("missing");
    refuses(open_file_store(file, 3));
    std::filesystem::remove(file);
  }
  SECTION("over TCP") {
    LaunchEnvironment launch;
    launch.size = 3;
    launch.master_port = test::free_port();
    refuses(open_tcp_store(launch, options.arrival_timeout));
  }
  REQUIRE(std::chrono::steady_clock::now() - start < seconds(5));
}

TEST_CASE("A store without a host raises with its address and port", "[distributed][cpu]") {
  LaunchEnvironment launch;
  launch.rank = 1;
  launch.size = 2;
  launch.master_port = test::free_port();
  REQUIRE_THROWS_WITH(open_tcp_store(launch, milliseconds(500)),
                      Contains("rank 1 of 2 could not reach rank 0") &&
                          Contains("127.0.0.1:" + std::to_string(launch.master_port)));
}

TEST_CASE("Two processes with one rank, or a used store, are refused", "[distributed][cpu]") {
  const auto store = c10::make_intrusive<c10d::HashStore>();
  const auto alone = connect_gloo(store, 0, 1, local_options());
  REQUIRE(alone.size() == 1);
  check_operations(alone);
  REQUIRE_THROWS_WITH(connect_gloo(store, 0, 1, local_options()),
                      Contains("rank 0 has already joined"));
  REQUIRE_THROWS_WITH(connect_gloo(store, 1, 1, local_options()), Contains("rank 1 of 1 ranks"));
}
#endif
