// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/optim/adamw.hpp"

#include <cmath>

#include "support/catch.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

/// AdamW of one parameter, from the paper, in float64.
struct Reference {
  at::Tensor value, mean, square;
  double steps = 0;

  explicit Reference(const at::Tensor& parameter)
      : value(parameter.detach().to(torch::kDouble).clone()),
        mean(torch::zeros_like(value)),
        square(torch::zeros_like(value)) {}

  void step(const at::Tensor& gradient, double lr, double weight_decay, const AdamWRule& o) {
    const auto g = gradient.to(torch::kDouble);
    steps += 1;
    value = value * (1 - lr * weight_decay);
    mean = o.beta1 * mean + (1 - o.beta1) * g;
    square = o.beta2 * square + (1 - o.beta2) * g * g;
    const auto m = mean / (1 - std::pow(o.beta1, steps));
    const auto v = square / (1 - std::pow(o.beta2, steps));
    value = value - lr * m / (v.sqrt() + o.eps);
  }
};

at::Tensor parameter(at::IntArrayRef shape, at::ScalarType kind = torch::kFloat) {
  return torch::randn(shape).to(kind).requires_grad_(true);
}

void set_gradient(const at::Tensor& parameter) {
  parameter.mutable_grad() = torch::randn_like(parameter.detach());
}

ParameterGroup group(std::string name, std::vector<at::Tensor> parameters, double weight_decay) {
  ParameterGroup made{name, parameters, {}, weight_decay};
  for (std::size_t i = 0; i < parameters.size(); ++i)
    made.parameter_names.push_back(name + "." + std::to_string(i));
  return made;
}

State copy_of(const State& state) {
  State copy = state;
  for (auto& [_, tensor] : copy.tensors) tensor = tensor.clone();
  return copy;
}

}  // namespace

TEST_CASE("AdamW follows the formulas in every group", "[optim][cpu]") {
  torch::manual_seed(1);
  const AdamWRule options = GENERATE(AdamWRule{}, AdamWRule{0.9, 0.98, 1e-6});
  auto slow = group("slow", {parameter({3, 2})}, 0.1);
  slow.lr_multiplier = 0.25;
  const std::vector<ParameterGroup> groups{group("decay", {parameter({4, 5}), parameter({2})}, 0.2),
                                           group("plain", {parameter({}), parameter({7})}, 0.0),
                                           slow};
  AdamW optimizer(groups, options);
  std::vector<std::pair<Reference, const ParameterGroup*>> references;
  for (const auto& g : groups)
    for (const auto& p : g.parameters) references.emplace_back(Reference(p), &g);

  for (int step = 0; step < 6; ++step) {
    const double lr = 1e-2 / (1 + step);
    auto reference = references.begin();
    for (const auto& g : groups)
      for (const auto& p : g.parameters) {
        set_gradient(p);
        (reference++)->first.step(p.grad(), lr * g.lr_multiplier, g.weight_decay, options);
      }
    optimizer.step(lr);
  }
  auto reference = references.begin();
  for (const auto& g : groups)
    for (const auto& p : g.parameters) CHECK(test::close(p, (reference++)->first.value, 2));
}

TEST_CASE("AdamW skips and names parameters without gradient", "[optim][cpu]") {
  torch::manual_seed(2);
  const auto used = parameter({3}), rare = parameter({3});
  AdamW optimizer({group("g", {used, rare}, 0.1)});
  Reference used_reference(used), rare_reference(rare);
  const auto untouched = rare.detach().clone();
  for (int step = 0; step < 3; ++step) {
    optimizer.zero_grad();
    CHECK(optimizer.without_gradient() == std::vector<std::string>{"g.0", "g.1"});
    set_gradient(used);
    CHECK(optimizer.without_gradient() == std::vector<std::string>{"g.1"});
    used_reference.step(used.grad(), 1e-2, 0.1, {});
    optimizer.step(1e-2);
  }
  CHECK(torch::equal(rare.detach(), untouched));
  // The step count of the new parameter starts at 1, not at 4.
  optimizer.zero_grad();
  set_gradient(rare);
  rare_reference.step(rare.grad(), 1e-2, 0.1, {});
  optimizer.step(1e-2);
  CHECK(test::close(used, used_reference.value));
  CHECK(test::close(rare, rare_reference.value));
}

TEST_CASE("AdamW changes nothing when a gradient overflowed", "[optim][cpu]") {
  torch::manual_seed(3);
  const auto kind = GENERATE(torch::kFloat, torch::kBFloat16);
  const auto p = parameter({5}, kind);
  AdamW optimizer({group("g", {p}, 0.1)});
  set_gradient(p);
  optimizer.step(1e-2);
  const auto before = copy_of(optimizer.save_state());
  const auto value = p.detach().clone();

  p.mutable_grad().fill_(INFINITY);
  const double found = GENERATE(1.0, 3.0);  // 3: added up over ranks
  optimizer.step(1e-2, {.found_inf = torch::tensor(found, torch::kFloat)});
  CHECK(torch::equal(p.detach(), value));
  const auto after = optimizer.save_state();
  CHECK((after.scalars == before.scalars));
  for (const auto& [name, tensor] : before.tensors) CHECK(torch::equal(after.tensor(name), tensor));

  set_gradient(p);
  optimizer.step(1e-2, {.found_inf = torch::tensor(0.0F)});
  CHECK_FALSE(torch::equal(p.detach(), value));
  CHECK(optimizer.save_state().scalar<std::int64_t>("step.g.0") == 2);
}

TEST_CASE("AdamW divides gradients by the scale it is given", "[optim][cpu]") {
  torch::manual_seed(4);
  const auto a = parameter({6}), b = a.detach().clone().requires_grad_(true);
  AdamW plain({group("a", {a}, 0.1)}), scaled({group("b", {b}, 0.1)});
  for (int step = 0; step < 3; ++step) {
    set_gradient(a);
    b.mutable_grad() = a.grad() * 1024;
    plain.step(1e-2);
    scaled.step(1e-2, {.grad_scale = torch::tensor(1024.0F)});
  }
  CHECK(torch::equal(a.detach(), b.detach()));
}

TEST_CASE("AdamW trains 16-bit parameters as their float32 copies, then rounds", "[optim][cpu]") {
  torch::manual_seed(5);
  const auto kind = GENERATE(torch::kBFloat16, torch::kHalf);
  const auto narrow = torch::rand({64}).add_(1).to(kind).requires_grad_(true);
  const auto wide = narrow.detach().to(torch::kFloat).requires_grad_(true);
  AdamW optimizer({group("narrow", {narrow}, 0.1)}), oracle({group("wide", {wide}, 0.1)});
  const auto start = narrow.detach().clone();
  for (int step = 0; step < 50; ++step) {
    set_gradient(narrow);
    narrow.mutable_grad() = narrow.grad().abs();  // one direction, so that small steps add up
    wide.mutable_grad() = narrow.grad().to(torch::kFloat);
    optimizer.step(2e-4);
    oracle.step(2e-4);
  }
  CHECK(narrow.scalar_type() == kind);
  CHECK(torch::equal(narrow.detach(), wide.detach().to(kind)));
  // A step of 2e-4 is below half of the last bit of such a number: the copies carried it.
  CHECK((narrow.detach() - start).abs().min().item<double>() > 0.0);
}

TEST_CASE("AdamW takes large 16-bit models in slices", "[optim][cpu]") {
  const std::int64_t half = (std::int64_t{1} << 23) + 1;  // two of them exceed one slice
  const auto a = torch::ones({half}, torch::kBFloat16).requires_grad_(true);
  const auto b = torch::ones({half}, torch::kBFloat16).requires_grad_(true);
  AdamW optimizer({group("g", {a, b}, 0.0)});
  a.mutable_grad() = torch::ones_like(a.detach());
  b.mutable_grad() = torch::ones_like(b.detach());
  optimizer.step(0.25);
  for (const auto& p : {a, b}) {
    CHECK(p.detach().min().item<double>() == 0.75);
    CHECK(p.detach().max().item<double>() == 0.75);
  }
}

TEST_CASE("AdamW takes gradients of another memory layout", "[optim][cpu]") {
  torch::manual_seed(6);
  const auto p = parameter({3, 4});
  AdamW optimizer({group("g", {p}, 0.0)});
  Reference reference(p);
  p.mutable_grad() = torch::randn({4, 3}).t();
  reference.step(p.grad(), 1e-2, 0.0, {});
  optimizer.step(1e-2);
  CHECK(test::close(p, reference.value));
}

TEST_CASE("AdamW resumes bit for bit from a saved state", "[optim][cpu]") {
  torch::manual_seed(7);
  const auto kind = GENERATE(torch::kFloat, torch::kBFloat16);
  const auto a = parameter({4, 3}, kind), b = parameter({3}, kind);
  AdamW first({group("g", {a, b}, 0.1)});
  for (int step = 0; step < 4; ++step) {
    for (const auto& p : {a, b}) set_gradient(p);
    if (step == 2) b.mutable_grad().reset();  // step counts differ
    first.step(1e-2);
  }
  const auto state = copy_of(first.save_state());
  const auto a2 = a.detach().clone().requires_grad_(true),
             b2 = b.detach().clone().requires_grad_(true);
  AdamW second({group("g", {a2, b2}, 0.1)});
  second.load_state(state);
  for (int step = 0; step < 4; ++step) {
    for (const auto& p : {a, b}) set_gradient(p);
    a2.mutable_grad() = a.grad().clone();
    b2.mutable_grad() = b.grad().clone();
    first.step(1e-2);
    second.step(1e-2);
  }
  CHECK(torch::equal(a.detach(), a2.detach()));
  CHECK(torch::equal(b.detach(), b2.detach()));
  CHECK(state.scalar<std::int64_t>("step.g.0") == 4);
  CHECK(state.scalar<std::int64_t>("step.g.1") == 3);
}

TEST_CASE("AdamW refuses the state of another model and names what differs", "[optim][cpu]") {
  AdamW source({group("g", {parameter({4, 3}), parameter({3})}, 0.1)});
  const auto state = copy_of(source.save_state());
  AdamW other_shape({group("g", {parameter({4, 2}), parameter({3})}, 0.1)});
  CHECK_THROWS_WITH(other_shape.load_state(state),
                    Contains("exp_avg.g.0 is [4, 2] here, [4, 3] in the state"));
  AdamW fewer({group("g", {parameter({4, 3})}, 0.1)});
  CHECK_THROWS_WITH(fewer.load_state(state), Contains("unexpected: exp_avg.g.1"));
  AdamW other_name({group("h", {parameter({4, 3})}, 0.1)});
  CHECK_THROWS_WITH(other_name.load_state(state), Contains("h.0"));
  AdamW narrow({group("g", {parameter({4, 3}, torch::kBFloat16), parameter({3})}, 0.1)});
  CHECK_THROWS_WITH(narrow.load_state(state), Contains("missing: master.g.0"));
}

TEST_CASE("AdamW refuses what cannot be optimized", "[optim][cpu]") {
  const auto p = parameter({2});
  CHECK_THROWS_WITH(AdamW({group("g", {p, p}, 0.0)}), Contains("'g.1' is given twice"));
  CHECK_THROWS_WITH(AdamW({group("g", {p}, -0.1)}), Contains("-0.1"));
  CHECK_THROWS_WITH(AdamW({group("g", {p}, 0.0)}, {.beta2 = 1.0}), Contains("beta2 (1)"));
  CHECK_THROWS_WITH(AdamW({{"g", {p}, {}, 0.0}}), Contains("1 parameters but 0 names"));
  CHECK_THROWS_WITH(AdamW({group("g", {torch::ones({2}, torch::kLong)}, 0.0)}),
                    Contains("floating-point"));
  AdamW optimizer({group("g", {p}, 0.0)});
  CHECK_THROWS_WITH(optimizer.step(std::nan("")), Contains("nan"));
  CHECK_THROWS_WITH(optimizer.step(-1.0), Contains("-1"));
  p.set_data(p.detach().to(torch::kBFloat16));
  p.mutable_grad() = torch::ones_like(p.detach());
  CHECK_THROWS_WITH(optimizer.step(1e-3), Contains("'g.0' is now BFloat16"));
}

TEST_CASE("AdamW reports its state in bytes per parameter", "[optim][cpu]") {
  const auto p = torch::zeros({3, 4}), q = torch::zeros({12}, torch::kBFloat16);
  const auto single = AdamW({group("g", {p}, 0.0)}, {.beta2 = 0.98}).facts();
  CHECK(single.name == "AdamW");
  CHECK(single.beta2 == 0.98);
  CHECK(single.bytes_per_parameter == 8);  // two moments
  CHECK_FALSE(single.shards_state);
  CHECK(AdamW({group("g", {q}, 0.0)}).facts().bytes_per_parameter == 12);  // and the master
  CHECK(AdamW({group("g", {p, q}, 0.0)}).facts().bytes_per_parameter == 10);
  CHECK(AdamW({group("g", {p.to(torch::kDouble)}, 0.0)}).facts().bytes_per_parameter == 16);
}
