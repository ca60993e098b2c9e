// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/optim/ema.hpp"

#include <cmath>

#include "contrapunto/optim/ema_scope.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

/// Weights, floating buffers and a counter, in one dtype.
struct Model : torch::nn::Module {
  explicit Model(at::ScalarType kind = torch::kFloat, std::int64_t width = 4) {
    torch::manual_seed(11);
    weight = register_parameter("weight", torch::randn({3, width}).to(kind));
    running = register_buffer("running", torch::zeros({width}, kind));
    count = register_buffer("count", torch::zeros({}, torch::kLong));
  }
  void train_a_step() {
    const torch::NoGradGuard no_grad;
    weight.add_(torch::randn_like(weight));
    running.add_(1.0);
    count.add_(1);
  }
  at::Tensor weight, running, count;
};

State copy_of(const State& state) {
  State copy = state;
  for (auto& [_, tensor] : copy.tensors) tensor = tensor.clone();
  return copy;
}

}  // namespace

TEST_CASE("The moving average follows its formula and copies counters", "[optim][cpu]") {
  const auto kind = GENERATE(torch::kFloat, torch::kBFloat16);
  Model model(kind);
  Ema ema(model, 0.9);
  auto expected = model.weight.detach().to(torch::kDouble);
  double running = 0.0;
  for (int step = 1; step <= 20; ++step) {
    model.train_a_step();
    ema.update();
    expected = 0.9 * expected + 0.1 * model.weight.detach().to(torch::kDouble);
    running = 0.9 * running + 0.1 * step;
  }
  const auto state = ema.save_state();
  CHECK(state.tensor("weight").scalar_type() ==
        torch::kFloat);  // 16 bits are too few for an average
  CHECK(test::close(state.tensor("weight"), expected, 2));
  CHECK(state.tensor("running")[0].item<double>() == Approx(running).epsilon(1e-5));
  CHECK(state.tensor("count").item<std::int64_t>() == 20);
  CHECK(ema.updates() == 20);
}

TEST_CASE("The warm-up of the average has timm's decays", "[optim][cpu]") {
  Model model;
  Ema ema(model, EmaOptions{.decay = 0.75, .warmup = true});
  CHECK(ema.current_decay() == 0.0);
  model.train_a_step();
  ema.update();
  CHECK(torch::equal(ema.save_state().tensor("weight"), model.weight.detach()));
  CHECK(ema.current_decay() == Approx(1 - std::pow(2.0, -2.0 / 3.0)).epsilon(1e-14));
  while (ema.updates() < 10) ema.update();
  CHECK(ema.current_decay() == 0.75);

  State later;
  Ema slow(model, EmaOptions{.decay = 0.9999, .warmup = true});
  later = copy_of(slow.save_state());
  later.scalars["updates"] = std::int64_t{31'622};
  slow.load_state(later);
  CHECK(slow.current_decay() == Approx(0.999).epsilon(1e-6));
}

TEST_CASE("An EmaScope puts the averages into the module and restores its weights",
          "[optim][cpu]") {
  const auto kind = GENERATE(torch::kFloat, torch::kBFloat16);
  Model model(kind);
  Ema ema(model, 0.5);
  model.train_a_step();
  ema.update();
  model.train_a_step();
  const auto weight = model.weight.detach().clone();
  const void* memory = model.weight.data_ptr();
  const auto average = ema.save_state().tensor("weight").clone();
  {
    const EmaScope scope(ema);
    CHECK(torch::equal(model.weight.detach(), average.to(kind)));
    CHECK(torch::equal(model.parameters()[0].detach(), average.to(kind)));
    CHECK(model.weight.requires_grad());
    CHECK(model.count.item<std::int64_t>() == 1);
    CHECK_THROWS_WITH(ema.update(), Contains("EmaScope"));
    CHECK_THROWS_WITH(EmaScope(ema), Contains("already"));
    CHECK(torch::equal(model.weight.detach(), average.to(kind)));
  }
  CHECK(torch::equal(model.weight.detach(), weight));
  CHECK(model.weight.data_ptr() == memory);
  CHECK(model.count.item<std::int64_t>() == 2);
  CHECK(torch::equal(ema.save_state().tensor("weight"), average));
}

TEST_CASE("An EmaScope restores the weights when the evaluation throws", "[optim][cpu]") {
  Model model;
  Ema ema(model, 0.5);
  model.train_a_step();
  const auto weight = model.weight.detach().clone();
  CHECK_THROWS([&] {
    const EmaScope scope(ema);
    TORCH_CHECK(false, "evaluation failed");
  }());
  CHECK(torch::equal(model.weight.detach(), weight));
  ema.update();
}

TEST_CASE("Weights still get gradients after an EmaScope", "[optim][cpu]") {
  Model model;
  Ema ema(model, 0.5);
  (model.weight * 2).sum().backward();
  { const EmaScope scope(ema); }
  (model.weight * 3).sum().backward();
  CHECK(model.weight.grad().min().item<double>() == 5.0);
}

TEST_CASE("The moving average resumes bit for bit from a saved state", "[optim][cpu]") {
  Model model;
  Ema first(model, EmaOptions{.decay = 0.9, .warmup = true});
  for (int step = 0; step < 3; ++step) {
    model.train_a_step();
    first.update();
  }
  const auto state = copy_of(first.save_state());
  Ema second(model, EmaOptions{.decay = 0.9, .warmup = true});
  second.load_state(state);
  for (int step = 0; step < 3; ++step) {
    model.train_a_step();
    first.update();
    second.update();
  }
  CHECK(second.updates() == 6);
  CHECK(torch::equal(second.save_state().tensor("weight"), first.save_state().tensor("weight")));
}

TEST_CASE("The moving average refuses other models and settings", "[optim][cpu]") {
  Model model, wider(torch::kFloat, 5);
  Ema ema(model, 0.9), other(wider, 0.9);
  CHECK_THROWS_WITH(other.load_state(ema.save_state()),
                    Contains("weight is [3, 5] here, [3, 4] in the state"));
  CHECK_THROWS_WITH(Ema(model, 1.5), Contains("decay (1.5)"));
  CHECK_THROWS_WITH(Ema(model, EmaOptions{.warmup = true, .warmup_gamma = 0.0}),
                    Contains("warmup_gamma (0)"));
  model.to(torch::kDouble);
  CHECK_THROWS_WITH(ema.update(), Contains("are now Double"));
}

TEST_CASE("Without decay the average is the module itself and stores nothing", "[optim][cpu]") {
  torch::manual_seed(3);
  torch::nn::Linear model(3, 2);
  Ema ema(*model, 0.0);
  const auto* data = model->weight.const_data_ptr<float>();
  ema.update();
  REQUIRE(ema.save_state().tensors.empty());
  const EmaScope averaged(ema);
  REQUIRE(model->weight.const_data_ptr<float>() == data);
}

TEST_CASE("Averages report the memory that they need", "[optim][cpu]") {
  torch::nn::Linear layer(3, 4);  // 16 parameters
  CHECK(Ema(*layer, 0.9).facts().bytes == 16 * 4);
  layer->to(torch::kBFloat16);
  CHECK(Ema(*layer, 0.9).facts().bytes == 16 * 4);  // float32 in any case
}
