// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/optim/optimizer.hpp"

#include <ATen/ops/_foreach_sub.h>

#include <atomic>
#include <tuple>

#include "contrapunto/optim/adamw.hpp"
#include "contrapunto/optim/lamb.hpp"
#include "contrapunto/optim/lion.hpp"
#include "contrapunto/optim/muon.hpp"
#include "contrapunto/optim/sharded_optimizer.hpp"
#include "contrapunto/optim/stable_adamw.hpp"
#include "optim/rule_loop.hpp"
#include "support/thread_ranks.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

/// A rule without state.
struct Descent {
  [[nodiscard]] std::string name() const { return "Descent"; }
  void check() const {}
  [[nodiscard]] std::vector<std::string> state_names(const std::string& /*name*/,
                                                     const at::Tensor& /*parameter*/) const {
    return {};
  }
  void update(const UpdateBatch& batch) const {
    at::_foreach_sub_(batch.weights, batch.gradients, batch.lr);
  }
};

/// Calls `check(rule)` for the rules of the library and one of a user.
template <class Check>
void for_each_rule(const Check& check) {
  // Products in float64 make Muon's matrices independent of each other far below float32.
  const std::tuple rules{AdamWRule{.beta2 = 0.98},
                         StableAdamWRule{},
                         LambRule{},
                         LionRule{},
                         MuonRule{.product_dtype = at::kDouble},
                         Descent{}};
  std::apply([&](const auto&... rule) { (check(rule), ...); }, rules);
}

/// Parameters of several shapes, dtypes and memory formats, equal in every call.
std::vector<ParameterGroup> make_groups() {
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(5);
  const auto parameter = [&](at::IntArrayRef shape, at::ScalarType kind = torch::kFloat) {
    return torch::randn(shape, generator).to(kind).requires_grad_(true);
  };
  const auto image = torch::randn({6, 3, 5, 5}, generator)
                         .contiguous(at::MemoryFormat::ChannelsLast)
                         .requires_grad_(true);
  return {{"decay",
           {parameter({20, 7}), image, parameter({12, 21}), parameter({20, 7}), parameter({20, 7}),
            parameter({8, 9}, torch::kBFloat16), parameter({9, 6})},
           {"token_embedding", "image", "out_proj", "c_fc", "c_proj", "narrow", "in_proj_weight"},
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
      p.mutable_grad() = gradient.to(p.device(), p.scalar_type());
  }
}

/// An optimizer with its parameters.
template <class Made>
struct Run {
  std::vector<ParameterGroup> groups = make_groups();
  std::vector<at::Tensor> parameters = all_parameters(groups);
  Made optimizer;

  template <class... Arguments>
  explicit Run(const Arguments&... arguments) : optimizer(groups, arguments...) {}

  void train(int first, int end) {
    for (int step = first; step < end; ++step) {
      set_gradients(parameters, step);
      optimizer.step(1e-2);
    }
  }

  void set(const std::vector<at::Tensor>& values) const {
    for (std::size_t i = 0; i < values.size(); ++i) parameters[i].data().copy_(values[i]);
  }

  [[nodiscard]] std::vector<at::Tensor> values() const {
    std::vector<at::Tensor> copies;
    for (const auto& p : parameters) copies.push_back(p.detach().clone());
    return copies;
  }
};

bool same_values(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!at::equal(a[i].detach(), b[i].detach())) return false;
  return a.size() == b.size();
}

bool close_values(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!test::close(a[i], b[i])) return false;
  return a.size() == b.size();
}

bool same_states(const State& a, const State& b) {
  if (a.scalars != b.scalars || a.tensors.size() != b.tensors.size()) return false;
  for (const auto& [name, tensor] : a.tensors)
    if (!at::equal(tensor, b.tensor(name))) return false;
  return true;
}

}  // namespace

TEST_CASE("A step whose gradients overflowed changes nothing, by any rule", "[optim][cpu]") {
  const double found = GENERATE(1.0, 3.0);  // 3: added up over ranks
  for_each_rule([&]<class Rule>(const Rule& rule) {
    INFO(rule.name());
    Run<Optimizer<Rule>> run(rule);
    run.train(0, 2);
    const auto values = run.values();
    const auto state = test::copy_of(run.optimizer.save_state());
    set_gradients(run.parameters, 2, INFINITY);
    run.optimizer.step(1e-2, {.found_inf = torch::tensor(found, torch::kFloat)});
    CHECK(same_values(run.parameters, values));
    CHECK(same_states(run.optimizer.save_state(), state));
    set_gradients(run.parameters, 3);
    run.optimizer.step(1e-2, {.found_inf = torch::tensor(0.0F)});
    CHECK_FALSE(same_values(run.parameters, values));
    CHECK(run.optimizer.save_state().template scalar<std::int64_t>("step.bias") == 3);
  });
}

TEST_CASE("Gradients are divided by the scale, by any rule", "[optim][cpu]") {
  for_each_rule([&]<class Rule>(const Rule& rule) {
    INFO(rule.name());
    Run<Optimizer<Rule>> plain(rule), scaled(rule);
    for (int step = 0; step < 4; ++step) {
      set_gradients(plain.parameters, step);
      set_gradients(scaled.parameters, step, 1024.0);
      plain.optimizer.step(1e-2);
      scaled.optimizer.step(1e-2, {.grad_scale = torch::tensor(1024.0F)});
    }
    CHECK(same_values(plain.parameters, scaled.parameters));
  });
}

TEST_CASE("16-bit parameters are rounded from float32 copies, by any rule", "[optim][cpu]") {
  const auto kind = GENERATE(torch::kBFloat16, torch::kHalf);
  for_each_rule([&]<class Rule>(const Rule& rule) {
    INFO(rule.name());
    torch::manual_seed(5);
    const auto narrow = torch::rand({8, 6}).add_(1).to(kind).requires_grad_(true);
    const auto wide = narrow.detach().to(torch::kFloat).requires_grad_(true);
    const auto start = narrow.detach().clone();
    Optimizer<Rule> optimizer({test::group("g", {narrow}, 0.1)}, rule),
        oracle({test::group("g", {wide}, 0.1)}, rule);
    for (int step = 0; step < 50; ++step) {
      narrow.mutable_grad() = torch::randn({8, 6}).to(kind);
      wide.mutable_grad() = narrow.grad().to(torch::kFloat);
      optimizer.step(1e-3);
      oracle.step(1e-3);
    }
    CHECK(torch::equal(narrow.detach(), wide.detach().to(kind)));
    CHECK_FALSE(torch::equal(narrow.detach(), start));
  });
}

TEST_CASE("A run resumes bit for bit from a saved state, by any rule", "[optim][cpu]") {
  for_each_rule([&]<class Rule>(const Rule& rule) {
    INFO(rule.name());
    Run<Optimizer<Rule>> first(rule), second(rule);
    first.train(0, 5);
    const auto state = test::copy_of(first.optimizer.save_state());
    second.set(first.values());
    second.optimizer.load_state(state);
    CHECK(same_states(second.optimizer.save_state(), state));
    CHECK(state.template scalar<std::int64_t>("step.image") == 4);  // once without gradient
    first.train(5, 9);
    second.train(5, 9);
    CHECK(same_values(first.parameters, second.parameters));
  });
}

TEST_CASE("Sharded state gives the same weights and resumes on any number of ranks, by any rule",
          "[optim][cpu]") {
  for_each_rule([&]<class Rule>(const Rule& rule) {
    // Elementwise rules and norms of one tensor do not see the other parameters of a rank.
    const auto equal = [](const auto& a, const auto& b) {
      return std::is_same_v<Rule, MuonRule> ? close_values(a, b) : same_values(a, b);
    };
    Run<Optimizer<Rule>> whole(rule);
    whole.train(0, 4);
    const auto state = test::copy_of(whole.optimizer.save_state());
    const auto values = whole.values();
    whole.train(4, 8);
    for (const auto ranks : {1, 2, 3}) {
      INFO(rule.name() << " on " << ranks << " ranks");
      std::atomic<int> right = 0, saved = 0, resumed = 0;
      test::run_thread_ranks(ranks, [&](const test::ThreadRank& rank) {
        Run<ShardedOptimizer<Rule>> run(Ranks(rank), rule), later(Ranks(rank), rule);
        run.train(0, 4);
        const auto own = test::copy_of(run.optimizer.save_state());
        bool good = own.scalars == state.scalars && own.tensors.size() == state.tensors.size();
        for (const auto& [name, tensor] : state.tensors)
          good = good && equal(std::vector{own.tensor(name)}, std::vector{tensor});
        if (good) ++saved;
        run.train(4, 8);
        if (equal(run.parameters, whole.parameters)) ++right;
        later.set(values);
        later.optimizer.load_state(state);
        later.train(4, 8);
        if (equal(later.parameters, whole.parameters)) ++resumed;
      });
      CHECK(right == ranks);
      CHECK(saved == ranks);
      CHECK(resumed == ranks);
    }
  });
}

TEST_CASE("The bytes in the facts of an optimizer are those of its state", "[optim][cpu]") {
  for_each_rule([&]<class Rule>(const Rule& rule) {
    INFO(rule.name());
    Run<Optimizer<Rule>> run(rule);
    std::int64_t bytes = 0, elements = 0;
    for (const auto& [_, tensor] : run.optimizer.save_state().tensors)
      bytes += tensor.numel() * tensor.element_size();
    for (const auto& p : run.parameters) elements += p.numel();
    const auto facts = run.optimizer.facts();
    CHECK(facts.name == rule.name());
    CHECK(facts.bytes_per_parameter == static_cast<double>(bytes) / static_cast<double>(elements));
    const auto sharded = ShardedOptimizer(make_groups(), Ranks(), rule);
    CHECK(sharded.state_bytes() == bytes);
    CHECK(sharded.facts().bytes_per_parameter == facts.bytes_per_parameter);
    CHECK(sharded.facts().beta2 == facts.beta2);
  });
  CHECK(AdamW({}, {.beta2 = 0.98}).facts().beta2 == 0.98);
  CHECK(Lamb({}, {.beta2 = 0.97}).facts().beta2 == 0.97);
  CHECK(Muon({}, {.adamw = {.beta2 = 0.96}}).facts().beta2 == 0.96);
  CHECK_FALSE(Lion({}).facts().beta2);  // its beta2 is not a decay of squares
}

TEST_CASE("An optimizer refuses the state of a rule with other tensors", "[optim][cpu]") {
  const std::vector<ParameterGroup> groups{test::group("g", {test::parameter({4, 3})}, 0.1)};
  const auto of_lion = Lion(groups).save_state();
  CHECK_THROWS_WITH(AdamW(groups).load_state(of_lion),
                    Contains("to another optimizer") && Contains("missing: exp_avg_sq.g.0"));
  CHECK_THROWS_WITH(Muon(groups).load_state(of_lion), Contains("missing: momentum_buffer.g.0") &&
                                                          Contains("unexpected: exp_avg.g.0"));
  CHECK_THROWS_WITH(Lion(groups).load_state(AdamW(groups).save_state()),
                    Contains("unexpected: exp_avg_sq.g.0"));
}

TEST_CASE("Every rule takes the same steps on CUDA", "[optim][gpu]") {
  if (!torch::cuda::is_available()) {
    WARN("no CUDA device: skipped");
    return;
  }
  for_each_rule([&]<class Rule>(const Rule& rule) {
    INFO(rule.name());
    Run<Optimizer<Rule>> host(rule);
    auto groups = make_groups();
    for (auto& group : groups)
      for (auto& p : group.parameters) p = p.detach().to(torch::kCUDA).requires_grad_(true);
    const auto parameters = all_parameters(groups);
    Optimizer<Rule> optimizer(groups, rule);
    for (int step = 0; step < 4; ++step) {
      set_gradients(parameters, step, step == 2 ? INFINITY : 1.0);
      optimizer.step(1e-2, {.found_inf = torch::full({}, step == 2 ? 1.0F : 0.0F, torch::kCUDA)});
      if (step != 2) host.train(step, step + 1);
    }
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      INFO("parameter " << i);
      CHECK(test::close(parameters[i], host.parameters[i], 4));
    }
  });
}
