// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#ifdef CONTRAPUNTO_HAS_DISTRIBUTED
#include "contrapunto/distributed/communicator.hpp"

#include "contrapunto/distributed/gather_rows.hpp"
#include "contrapunto/distributed/process_group.hpp"
#include "contrapunto/distributed/single_process.hpp"
#include "distributed/local_world.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

// The tensor of rank r. It has whole numbers, so that sums are exact, and no two equal elements.
at::Tensor of_rank(std::int64_t r, at::IntArrayRef shape, at::ScalarType dtype = at::kFloat) {
  const auto count = c10::multiply_integers(shape);
  return (torch::arange(count) + 13 * r).view(shape).to(dtype);
}

void reduces_and_scatters(const ProcessGroupCommunicator& world) {
  const auto size = world.size();
  for (const auto dtype : {at::kFloat, at::kDouble, at::kLong, at::kBFloat16}) {
    auto expected = torch::zeros({size, 3, 2}, torch::kDouble);
    for (std::int64_t r = 0; r < size; ++r) expected += of_rank(r, {size, 3, 2}, at::kDouble);
    const auto row = world.reduce_scatter_sum(of_rank(world.rank(), {size, 3, 2}, dtype));
    REQUIRE(row.equal(expected[world.rank()].to(dtype)));
  }
  const auto scalars = world.reduce_scatter_sum(torch::arange(size));
  REQUIRE(scalars.sizes().empty());
  REQUIRE(scalars.item<std::int64_t>() == size * world.rank());
  const auto wide = of_rank(0, {6, size}).requires_grad_().t();
  const auto row = world.reduce_scatter_sum(wide);  // [size, 6], not contiguous, with history
  REQUIRE_FALSE(row.requires_grad());
  REQUIRE(row.equal(wide.detach()[world.rank()] * static_cast<double>(size)));
  REQUIRE(world.reduce_scatter_sum(torch::ones({size, 0})).sizes() == at::IntArrayRef{0});
  REQUIRE_THROWS_WITH(world.reduce_scatter_sum(torch::ones({size + 1, 2})),
                      Contains("expected [" + std::to_string(size) + ", ...]"));
}

void shifts(const ProcessGroupCommunicator& world) {
  const auto size = world.size();
  for (const auto dtype : {at::kFloat, at::kLong, at::kBFloat16})
    for (std::int64_t by = -size; by <= size + 1; ++by) {
      auto pending = world.ring_shift(of_rank(world.rank(), {4, 3}, dtype), by);
      const auto from = ((world.rank() + by) % size + size) % size;
      REQUIRE(pending.wait().equal(of_rank(from, {4, 3}, dtype)));
      REQUIRE(pending.wait().equal(of_rank(from, {4, 3}, dtype)));
    }
  // Several shifts are in flight at once, with other collectives between, and are waited for in
  // reverse.
  std::vector<PendingTensor> pending;
  for (std::int64_t by = 0; by < 5; ++by) {
    pending.push_back(world.ring_shift(of_rank(world.rank(), {1000 + by}), by));
    (void)world.all_gather(torch::ones({2}));
  }
  for (std::int64_t by = 4; by >= 0; --by)
    REQUIRE(pending[static_cast<std::size_t>(by)].wait().equal(
        of_rank((world.rank() + by) % size, {1000 + by})));
  // After a full round, every rank has seen what a gather returns.
  auto block = of_rank(world.rank(), {2, 5}).t();  // not contiguous
  auto sum = torch::zeros({5, 2});
  for (std::int64_t step = 0; step < size; ++step) {
    auto next = world.ring_shift(block, 1);
    sum += block;
    block = next.wait();
  }
  REQUIRE(block.equal(of_rank(world.rank(), {2, 5}).t()));
  REQUIRE(sum.equal(world.all_gather(of_rank(world.rank(), {2, 5}).t()).sum(0)));
  const auto leaf = torch::ones({2}, torch::requires_grad());
  REQUIRE_FALSE(world.ring_shift(leaf * 2, 1).wait().requires_grad());
  REQUIRE(world.ring_shift(torch::ones({0, 3}), 1).wait().sizes() == at::IntArrayRef{0, 3});
  { const auto dropped = world.ring_shift(of_rank(world.rank(), {100}), 1); }
}

void reduces_later(const ProcessGroupCommunicator& world) {
  const auto size = world.size();
  std::vector<at::Tensor> tensors;
  std::vector<PendingTensor> pending;
  for (std::int64_t i = 0; i < 6; ++i) {
    auto tensor = of_rank(world.rank() + i, {3, 4});
    if (i % 2 == 1) tensor = tensor.t();  // the sum must reach the caller's own memory
    tensors.push_back(tensor);
    pending.push_back(world.all_reduce_sum_async(tensors.back()));
  }
  for (auto& p : pending) p.wait();
  for (std::int64_t i = 0; i < 6; ++i) {
    auto expected = torch::zeros({3, 4});
    for (std::int64_t r = 0; r < size; ++r) expected += of_rank(r + i, {3, 4});
    const auto& tensor = tensors[static_cast<std::size_t>(i)];
    REQUIRE(tensor.equal(i % 2 == 1 ? expected.t() : expected));
  }
}

void gathers_rows(const ProcessGroupCommunicator& world) {
  const auto size = world.size();
  const std::vector<std::vector<std::int64_t>> cases{
      {3, 3, 3, 3}, {2, 5, 1, 4}, {0, 3, 0, 2}, {4, 0, 0, 0}, {0, 0, 0, 0}};
  for (const auto& rows : cases) {
    std::vector<at::Tensor> parts;
    std::vector<std::int64_t> sizes;
    std::int64_t offset = 0;
    for (std::int64_t r = 0; r < size; ++r) {
      const auto count = rows[static_cast<std::size_t>(r)];
      if (r < world.rank()) offset += count;
      sizes.push_back(count);
      parts.push_back(of_rank(r, {count, 2, 3}));
    }
    const auto ours = parts[static_cast<std::size_t>(world.rank())].clone().requires_grad_();
    const auto gathered = gather_rows(world, ours * 1);
    REQUIRE(gathered.sizes == sizes);
    REQUIRE(gathered.offset == offset);
    REQUIRE(gathered.rows.equal(torch::cat(parts)));
    REQUIRE(gathered.rows.is_contiguous());
    REQUIRE_FALSE(gathered.rows.requires_grad());
  }
  const auto keys = gather_rows(world, torch::full({world.rank()}, world.rank()));
  REQUIRE(keys.rows.size(0) == size * (size - 1) / 2);
  REQUIRE(keys.rows.scalar_type() == at::kLong);
  REQUIRE_THROWS_WITH(gather_rows(world, torch::ones({2, world.rank() == 1 ? 4 : 3})),
                      Contains("rank 1 have 4 elements, those of rank 0 3"));
  REQUIRE_THROWS_WITH(gather_rows(world, torch::tensor(1.0)), Contains("no rows"));
}

}  // namespace

TEST_CASE("rank that tries every operation", "[.rank]") {
  const auto local = test::join_local_world();
  if (!local) return;
  REQUIRE(local->world.device() == c10::Device(c10::kCPU));
  reduces_and_scatters(local->world);
  shifts(local->world);
  reduces_later(local->world);
  gathers_rows(local->world);
  local->world.barrier();
}

TEST_CASE("Ranks reduce-scatter, shift tensors around the ring and gather uneven rows",
          "[distributed][cpu]") {
  REQUIRE(test::run_local_ranks("rank that tries every operation", 2));
  REQUIRE(test::run_local_ranks("rank that tries every operation", 4));
}

TEST_CASE("A group of one rank and no group at all do the same", "[distributed][cpu]") {
  const auto check = [](const auto& world) {
    auto tensor = of_rank(0, {1, 4});
    const auto before = tensor.clone();
    REQUIRE(world.all_reduce_sum_async(tensor).wait().equal(before));
    REQUIRE(tensor.equal(before));
    auto row = world.reduce_scatter_sum(tensor);
    REQUIRE(row.equal(before[0]));
    row.zero_();  // a copy
    REQUIRE(tensor.equal(before));
    REQUIRE_THROWS_WITH(world.reduce_scatter_sum(torch::ones({2, 2})), Contains("[1, ...]"));
    for (const std::int64_t by : {-1, 0, 3})
      REQUIRE(world.ring_shift(tensor, by).wait().data_ptr() == tensor.data_ptr());
    const auto gathered = gather_rows(world, torch::ones({5, 2}, torch::requires_grad()));
    REQUIRE(gathered.rows.equal(torch::ones({5, 2})));
    REQUIRE_FALSE(gathered.rows.requires_grad());
    REQUIRE(gathered.sizes == std::vector<std::int64_t>{5});
    REQUIRE(gathered.offset == 0);
    REQUIRE(world.device() == c10::Device(c10::kCPU));
  };
  check(SingleProcess{});
  LaunchEnvironment launch;
  launch.master_port = test::free_port();
  const auto store = open_tcp_store(launch, test::local_options().timeout);
  check(connect_gloo(store, 0, 1, test::local_options()));
}
#endif
