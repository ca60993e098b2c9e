// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/towers/optimizer_settings.hpp"

#include <atomic>

#include "support/catch.hpp"
#include "support/thread_ranks.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

constexpr AdamWRule kUsual{.beta1 = 0.85, .beta2 = 0.98, .eps = 1e-3};

std::vector<ParameterGroup> make_groups() {
  const auto matrix = torch::linspace(-1, 1, 12).view({4, 3}).clone().requires_grad_(true);
  const auto bias = torch::linspace(-1, 1, 5).requires_grad_(true);
  return {{"decay", {matrix}, {"mlp.c_fc.weight"}, 0.1}, {"plain", {bias}, {"mlp.bias"}, 0.0}};
}

/// The weights after three steps with gradients that change.
template <class Made>
std::vector<at::Tensor> trained(Made& optimizer) {
  const auto parameters = optimizer.parameters();
  for (int step = 0; step < 3; ++step) {
    for (const auto& p : parameters) p.mutable_grad() = (p.detach() * (3 - 2 * step)).cos();
    optimizer.step(1e-2);
  }
  return parameters;
}

template <class Rule>
void check_same(const OptimizerSettings& settings, const Rule& rule, std::int64_t batch_size = 64) {
  auto chosen = make_optimizer(settings, make_groups(), {}, kUsual, batch_size);
  Optimizer<Rule> expected(make_groups(), rule);
  const auto a = trained(chosen), b = trained(expected);
  INFO(settings.optimizer);
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(torch::equal(a[i].detach(), b[i].detach()));
  CHECK(chosen.facts().name == rule.name());
  CHECK(chosen.facts().beta2 == expected.facts().beta2);
}

}  // namespace

TEST_CASE("The name of an optimizer chooses its rule, with the decays of the trainer",
          "[towers][cpu]") {
  check_same({.optimizer = "adamw"}, AdamWRule{0.85, 0.98, 1e-3});
  check_same({.optimizer = "stable-adamw"}, StableAdamWRule{0.85, 0.98, 1e-3});
  check_same({.optimizer = "lamb"}, LambRule{0.85, 0.98, 1e-6});
  check_same({.optimizer = "lion"}, LionRule{0.9, 0.99});
  check_same({.optimizer = "muon"}, MuonRule{.adamw = {0.85, 0.98, 1e-3}});
  CHECK_THROWS_WITH(update_rule({.optimizer = "sgd"}, kUsual, 64),
                    Contains("no optimizer 'sgd'") && Contains("lion and muon"));
}

TEST_CASE("A large batch has a short mean of squares unless beta2 is given", "[towers][cpu]") {
  check_same({.optimizer = "adamw"}, AdamWRule{0.85, 0.98, 1e-3}, 16'383);
  check_same({.optimizer = "adamw"}, AdamWRule{0.85, 0.95, 1e-3}, 16'384);
  check_same({.optimizer = "lamb"}, LambRule{0.85, 0.95, 1e-6}, 65'536);
  check_same({.optimizer = "muon"}, MuonRule{.adamw = {0.85, 0.95, 1e-3}}, 65'536);
  check_same({.optimizer = "lion"}, LionRule{0.9, 0.99}, 65'536);
  check_same({.optimizer = "adamw", .beta1 = 0.8, .beta2 = 0.999}, AdamWRule{0.8, 0.999, 1e-3},
             65'536);
  check_same({.optimizer = "lion", .beta1 = 0.8, .beta2 = 0.7}, LionRule{0.8, 0.7}, 65'536);
  CHECK(beta2_for_batch(65'536, 0.9) == 0.9);
}

TEST_CASE("The settings of an optimizer are described once, with what they allow",
          "[towers][cpu]") {
  OptimizerSettings settings;
  SettingsTable table;
  table.section("Optimization");
  add_optimizer_settings(table, settings);
  table.find("optimizer")->set({"lion"});
  table.find("beta2")->set({"0.9"});
  CHECK(settings.optimizer == "lion");
  CHECK(settings.beta2 == 0.9);
  CHECK_THROWS_WITH(table.find("optimizer")->set({"adam"}), Contains("stable-adamw"));
  CHECK_THROWS_WITH(table.find("beta1")->set({"1"}), Contains("below 1"));
  CHECK(table.find("optimizer")->fixed());
  CHECK_FALSE(table.find("shard-optimizer")->fixed());
}

TEST_CASE("The optimizer of a trainer shards its state if its settings say so", "[towers][cpu]") {
  std::atomic<int> right = 0;
  test::run_thread_ranks(2, [&](const test::ThreadRank& rank) {
    const auto split =
        make_optimizer({.shard_optimizer = true}, make_groups(), Ranks(rank), kUsual, 64);
    const auto whole = make_optimizer({}, make_groups(), Ranks(rank), kUsual, 64);
    if (split.facts().shards_state && !whole.facts().shards_state &&
        split.state_bytes() < whole.state_bytes())
      ++right;
  });
  CHECK(right == 2);
}
