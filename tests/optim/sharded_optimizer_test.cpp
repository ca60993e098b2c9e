// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/optim/sharded_optimizer.hpp"

#include <algorithm>
#include <atomic>
#include <numeric>
#include <string>
#include <vector>

#include "contrapunto/distributed/gradient_sync.hpp"
#include "contrapunto/optim/adamw.hpp"
#ifdef CONTRAPUNTO_HAS_DISTRIBUTED
#include "distributed/local_world.hpp"
#endif
#include "support/catch.hpp"
#include "support/thread_ranks.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

using ShardedAdamW = ShardedOptimizer<AdamWRule>;

/// Parameters of several shapes, dtypes and memory formats in three groups, equal in every call.
std::vector<ParameterGroup> make_groups() {
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(5);
  const auto parameter = [&](at::IntArrayRef shape, at::ScalarType kind = torch::kFloat) {
    return torch::randn(shape, generator).to(kind).requires_grad_(true);
  };
  const auto image = torch::randn({6, 3, 5, 5}, generator)
                         .contiguous(at::MemoryFormat::ChannelsLast)
                         .requires_grad_(true);
  return {{"decay",
           {parameter({40, 7}), image, parameter({33, 21}), parameter({8, 9}, torch::kBFloat16)},
           {"embedding", "image", "projection", "narrow"},
           0.2},
          {"plain",
           {parameter({}), parameter({7}), parameter({11}, torch::kBFloat16),
            parameter({5}, torch::kDouble)},
           {"scale", "bias", "narrow_bias", "wide"},
           0.0},
          {"slow", {parameter({3, 2}), parameter({0, 4})}, {"slow", "empty"}, 0.1, 0.25}};
}

std::vector<at::Tensor> all_parameters(const std::vector<ParameterGroup>& groups) {
  std::vector<at::Tensor> all;
  for (const auto& group : groups)
    all.insert(all.end(), group.parameters.begin(), group.parameters.end());
  return all;
}

bool same_values(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!at::equal(a[i].detach(), b[i].detach())) return false;
  return a.size() == b.size();
}

bool same_states(const State& a, const State& b) {
  if (a.scalars != b.scalars || a.tensors.size() != b.tensors.size()) return false;
  for (const auto& [name, tensor] : a.tensors) {
    const auto& other = b.tensor(name);
    if (tensor.scalar_type() != other.scalar_type() || !at::equal(tensor, other)) return false;
  }
  return true;
}

State copy_of(const State& state) {
  State copy = state;
  for (auto& [_, tensor] : copy.tensors) tensor = tensor.clone();
  return copy;
}

/// Gradients of step `step`; every third step leaves one parameter without.
void set_gradients(const std::vector<at::Tensor>& parameters, int step, double factor = 1.0) {
  const auto generator =
      at::make_generator<at::CPUGeneratorImpl>(static_cast<std::uint64_t>(100 + step));
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const auto& p = parameters[i];
    const auto gradient = torch::randn(p.sizes(), generator) * factor;
    if (step % 3 == 2 && i == 1)
      p.mutable_grad().reset();
    else
      p.mutable_grad() = gradient.to(p.scalar_type());
  }
}

/// AdamW in one process after `steps` steps.
struct Whole {
  std::vector<ParameterGroup> groups = make_groups();
  std::vector<at::Tensor> parameters = all_parameters(groups);
  AdamW optimizer{groups, {.beta2 = 0.98}};

  void train(int first, int end) {
    for (int step = first; step < end; ++step) {
      set_gradients(parameters, step);
      optimizer.step(1e-2);
    }
  }
};

}  // namespace

TEST_CASE("Sharded AdamW equals AdamW to the bit, on any number of ranks", "[optim][cpu]") {
  const auto ranks = GENERATE(1, 2, 3, 12);  // 12: some have nothing to do
  const double megabytes = GENERATE(64.0, 1e-3);
  Whole whole;
  whole.train(0, 7);
  std::atomic<int> equal = 0;
  test::run_thread_ranks(ranks, [&](const test::ThreadRank& rank) {
    const auto groups = make_groups();
    const auto parameters = all_parameters(groups);
    ShardedAdamW optimizer(groups, rank, {.beta2 = 0.98}, {.gather_megabytes = megabytes});
    for (int step = 0; step < 7; ++step) {
      set_gradients(parameters, step);
      optimizer.step(1e-2);
    }
    if (same_values(parameters, whole.parameters)) ++equal;
  });
  CHECK(equal == ranks);
}

TEST_CASE("Sharded AdamW follows gradients summed over the ranks", "[optim][cpu]") {
  std::atomic<int> equal = 0;
  test::run_thread_ranks(3, [&](const test::ThreadRank& rank) {
    const auto groups = make_groups();
    const auto parameters = all_parameters(groups);
    Whole whole;
    GradientSync sync(parameters, rank, {.bucket_megabytes = 1e-3});
    ShardedAdamW optimizer(groups, rank, {.beta2 = 0.98});
    for (int step = 0; step < 4; ++step) {
      optimizer.zero_grad();
      set_gradients(parameters, step, static_cast<double>(rank.rank() + 1));
      sync.wait();
      for (std::size_t i = 0; i < parameters.size(); ++i)
        whole.parameters[i].mutable_grad() =
            parameters[i].grad().defined() ? parameters[i].grad().clone() : at::Tensor();
      optimizer.step(1e-2);
      whole.optimizer.step(1e-2);
    }
    if (same_values(parameters, whole.parameters)) ++equal;
  });
  CHECK(equal == 3);
}

TEST_CASE("A step of sharded AdamW gives equal weights to ranks that had drifted apart",
          "[optim][cpu]") {
  std::vector<std::vector<at::Tensor>> parameters(2);
  test::run_thread_ranks(2, [&](const test::ThreadRank& rank) {
    const auto groups = make_groups();
    auto& own = parameters[static_cast<std::size_t>(rank.rank())] = all_parameters(groups);
    ShardedAdamW optimizer(groups, rank);
    if (rank.rank() == 1) {
      const at::NoGradGuard no_grad;
      for (auto& p : own) p.add_(1);
    }
    set_gradients(own, 0);
    optimizer.step(1e-2);
  });
  CHECK(same_values(parameters[0], parameters[1]));
}

TEST_CASE("Sharded AdamW handles the loss scale and an overflow as AdamW does", "[optim][cpu]") {
  Whole whole;
  whole.train(0, 1);
  std::atomic<int> equal = 0;
  test::run_thread_ranks(2, [&](const test::ThreadRank& rank) {
    const auto groups = make_groups();
    const auto parameters = all_parameters(groups);
    ShardedAdamW optimizer(groups, rank, {.beta2 = 0.98});
    set_gradients(parameters, 0, 1024.0);
    optimizer.step(1e-2, {.grad_scale = torch::tensor(1024.0F)});
    set_gradients(parameters, 1, INFINITY);
    optimizer.step(1e-2, {.found_inf = torch::tensor(2.0F)});
    if (same_values(parameters, whole.parameters)) ++equal;
  });
  CHECK(equal == 2);
}

TEST_CASE("The state of sharded AdamW is that of AdamW and loads into any number of ranks",
          "[optim][cpu]") {
  Whole whole;
  whole.train(0, 4);
  const auto expected = copy_of(whole.optimizer.save_state());
  std::vector<at::Tensor> values;
  for (const auto& p : whole.parameters) values.push_back(p.detach().clone());
  whole.train(4, 8);

  std::atomic<int> equal = 0, rooted = 0;
  State saved;
  test::run_thread_ranks(3, [&](const test::ThreadRank& rank) {
    const auto groups = make_groups();
    const auto parameters = all_parameters(groups);
    ShardedAdamW optimizer(groups, rank, {.beta2 = 0.98});
    for (int step = 0; step < 4; ++step) {
      set_gradients(parameters, step);
      optimizer.step(1e-2);
    }
    if (same_states(optimizer.save_state(), expected)) ++equal;
    const auto on_one = optimizer.save_state(/*root=*/1);
    if (rank.rank() == 1 ? same_states(on_one, expected) : on_one.tensors.empty()) ++rooted;
    if (rank.rank() == 1) saved = copy_of(on_one);
  });
  CHECK(equal == 3);
  CHECK(rooted == 3);

  for (const auto ranks : {1, 2, 4}) {
    equal = 0;
    test::run_thread_ranks(ranks, [&](const test::ThreadRank& rank) {
      const auto groups = make_groups();
      const auto parameters = all_parameters(groups);
      ShardedAdamW optimizer(groups, rank, {.beta2 = 0.98});
      {
        const at::NoGradGuard no_grad;  // 16-bit parameters are set from their masters
        for (std::size_t i = 0; i < parameters.size(); ++i)
          if (parameters[i].element_size() != 2) at::Tensor(parameters[i]).copy_(values[i]);
      }
      optimizer.load_state(saved);
      const bool restored = same_values(parameters, values);
      for (int step = 4; step < 8; ++step) {
        set_gradients(parameters, step);
        optimizer.step(1e-2);
      }
      if (restored && same_values(parameters, whole.parameters)) ++equal;
    });
    INFO(ranks << " ranks");
    CHECK(equal == ranks);
  }
  Whole again;
  for (std::size_t i = 0; i < values.size(); ++i) again.parameters[i].data().copy_(values[i]);
  again.optimizer.load_state(saved);
  again.train(4, 8);
  CHECK(same_values(again.parameters, whole.parameters));
}

TEST_CASE("Each rank keeps about its part of the state", "[optim][cpu]") {
  std::int64_t total = 0, largest = 0;
  for (const auto& p : all_parameters(make_groups())) {
    const auto bytes = p.numel() * (p.element_size() == 2 ? 12 : 2 * p.element_size());
    total += bytes;
    largest = std::max(largest, bytes);
  }
  for (const auto ranks : {1, 2, 4, 12}) {
    std::vector<std::int64_t> bytes(static_cast<std::size_t>(ranks));
    test::run_thread_ranks(ranks, [&](const test::ThreadRank& rank) {
      bytes[static_cast<std::size_t>(rank.rank())] =
          ShardedAdamW(make_groups(), rank).state_bytes();
    });
    CHECK(std::accumulate(bytes.begin(), bytes.end(), std::int64_t{0}) == total);
    CHECK(*std::max_element(bytes.begin(), bytes.end()) <= total / ranks + largest);
  }
  std::int64_t elements = 0;
  for (const auto& p : all_parameters(make_groups())) elements += p.numel();
  std::atomic<int> right = 0;
  test::run_thread_ranks(3, [&](const test::ThreadRank& rank) {
    const auto facts = ShardedAdamW(make_groups(), rank, {.beta2 = 0.98}).facts();
    if (facts.shards_state && facts.beta2 == 0.98 &&
        facts.bytes_per_parameter == static_cast<double>(total) / static_cast<double>(elements))
      ++right;
  });
  CHECK(right == 3);
  // A transformer's parameters are many and alike: 24 blocks of 12 and an embedding.
  std::vector<std::int64_t> sizes{49408 * 512};
  for (int block = 0; block < 24; ++block)
    for (const auto share : {768 * 2304, 768 * 768, 768 * 3072, 3072 * 768, 768, 768, 3072, 2304})
      sizes.push_back(share);
  const auto owners = contrapunto::detail::partition(sizes, 4);
  std::vector<std::int64_t> loads(4, 0);
  for (std::size_t i = 0; i < sizes.size(); ++i)
    loads[static_cast<std::size_t>(owners[i])] += sizes[i];
  const auto all = std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0});
  CHECK(static_cast<double>(*std::max_element(loads.begin(), loads.end())) <
        1.01 * static_cast<double>(all) / 4);
}

TEST_CASE("The bytes that sharded AdamW counts are those of the tensors it holds", "[optim][cpu]") {
  const ShardedAdamW optimizer(make_groups());
  std::int64_t bytes = 0;
  for (const auto& [_, tensor] : optimizer.save_state().tensors)
    bytes += tensor.numel() * tensor.element_size();
  CHECK(optimizer.state_bytes() == bytes);
}

TEST_CASE("Sharded AdamW names, drops and lists gradients of all parameters", "[optim][cpu]") {
  std::atomic<int> right = 0;
  test::run_thread_ranks(2, [&](const test::ThreadRank& rank) {
    const auto groups = make_groups();
    const auto parameters = all_parameters(groups);
    ShardedAdamW optimizer(groups, rank, {.beta2 = 0.95});
    set_gradients(parameters, 2);
    bool good = optimizer.without_gradient() == std::vector<std::string>{"image"} &&
                optimizer.rule().beta2 == 0.95 && optimizer.parameters().size() == 10;
    optimizer.zero_grad();
    for (const auto& p : parameters) good = good && !p.grad().defined();
    if (good) ++right;
  });
  CHECK(right == 2);
}

TEST_CASE("Sharded AdamW refuses what does not fit, on every rank", "[optim][cpu]") {
  const auto p = torch::ones({4, 6}).requires_grad_(true);
  const auto message = [](const auto& make) {
    std::vector<std::string> messages(2);
    test::run_thread_ranks(2, [&](const test::ThreadRank& rank) {
      try {
        make(rank);
      } catch (const c10::Error& error) {
        messages[static_cast<std::size_t>(rank.rank())] = error.what_without_backtrace();
      }
    });
    CHECK(messages[0] == messages[1]);
    return messages[0];
  };
  const auto one = [](const at::Tensor& tensor) {
    return std::vector<ParameterGroup>{{"g", {tensor}, {"p"}, 0.0}};
  };
  CHECK_THAT(
      message([&](const auto& rank) { ShardedAdamW(one(torch::ones({2 + rank.rank()})), rank); }),
      Contains("list of parameters differs"));
  CHECK_THAT(message([&](const auto& rank) { ShardedAdamW(one(p.narrow(1, 0, 3)), rank); }),
             Contains("'p' of shape [4, 3]") && Contains("make it contiguous"));
  CHECK_THAT(message([&](const auto& rank) {
               ShardedAdamW({{"g", {p, p}, {"p", "q"}, 0.0}}, rank);
             }),
             Contains("'q' is given twice"));
  CHECK_THAT(message([&](const auto& rank) {
               ShardedAdamW({{"g", {p}, {}, 0.0}}, rank);
             }),
             Contains("1 parameters but 0 names"));
  CHECK_THAT(
      message([&](const auto& rank) { ShardedAdamW(one(p), rank, {}, {.gather_megabytes = 0.0}); }),
      Contains("gather_megabytes is 0"));
  const auto other =
      copy_of(AdamW({{"g", {torch::ones({3}).requires_grad_()}, {"p"}, 0.0}}).save_state());
  CHECK_THAT(message([&](const auto& rank) { ShardedAdamW(one(p), rank).load_state(other); }),
             Contains("exp_avg.p is [4, 6] here, [3] in the state"));
  CHECK_THAT(
      message([&](const auto& rank) { ShardedAdamW(make_groups(), rank).load_state(other); }),
      Contains("no scalar named 'step.embedding'"));
}

#ifdef CONTRAPUNTO_HAS_DISTRIBUTED
TEST_CASE("rank of sharded AdamW", "[.rank]") {
  const auto local = test::join_local_world();
  if (!local) return;
  Whole whole;
  const auto groups = make_groups();
  const auto parameters = all_parameters(groups);
  ShardedAdamW optimizer(groups, local->world, {.beta2 = 0.98}, {.gather_megabytes = 4e-3});
  for (int step = 0; step < 3; ++step) {
    set_gradients(parameters, step);
    optimizer.step(1e-2);
  }
  whole.train(0, 3);
  CHECK(same_values(parameters, whole.parameters));
  CHECK(same_states(optimizer.save_state(), whole.optimizer.save_state()));
  local->world.barrier();
}

TEST_CASE("Sharded AdamW works between processes over Gloo", "[optim][cpu]") {
  CHECK(test::run_local_ranks("rank of sharded AdamW", 3));
}
#endif
