// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <map>
#include <string>

#include "contrapunto/checkpoint/checkpoint_folder.hpp"
#include "contrapunto/checkpoint/generator_state.hpp"
#include "contrapunto/checkpoint/module_state.hpp"
#include "io/temporary_folder.hpp"
#include "support/catch.hpp"

using namespace contrapunto;
using contrapunto::test::TemporaryFolder;

namespace {

/// A model with dropout and batch statistics, trained by hand-written SGD with momentum on random
/// numbers: a run whose every later bit depends on weights, buffers, optimizer and generator.
struct Run {
  torch::nn::Sequential model{torch::nn::Linear(4, 8), torch::nn::BatchNorm1d(8),
                              torch::nn::Dropout(0.3), torch::nn::Linear(8, 2)};
  std::map<std::string, at::Tensor> momentum;
  std::int64_t step = 0;

  double advance() {
    const auto loss = model->forward(torch::randn({6, 4})).square().mean();
    model->zero_grad();
    loss.backward();
    const at::NoGradGuard no_grad;
    for (auto& item : model->named_parameters()) {
      auto& m = momentum[item.key()];
      m = m.defined() ? 0.9 * m + item.value().grad() : item.value().grad().clone();
      item.value().sub_(0.05 * m);
    }
    ++step;
    return loss.item<double>();
  }

  std::map<std::string, State> save() const {
    State optimizer{momentum, {{"step", step}}};
    return {{"model", module_state(*model)}, {"optimizer", optimizer}, {"random", rng_state()}};
  }

  void load(const std::map<std::string, State>& states) {
    load_module_state(*model, states.at("model"));
    momentum = states.at("optimizer").tensors;
    step = states.at("optimizer").scalar<std::int64_t>("step");
    restore_rng_state(states.at("random"));
  }
};

}  // namespace

TEST_CASE("A run that resumes from any checkpoint continues bit for bit", "[checkpoint][cpu]") {
  const TemporaryFolder disk;
  const CheckpointFolder folder(disk.path(), {.last = 100});
  constexpr std::int64_t kSteps = 8;
  torch::manual_seed(11);
  Run whole;
  std::map<std::int64_t, double> losses;
  folder.save(0, whole.save());
  while (whole.step < kSteps) {
    const auto step = whole.step;
    losses[step] = whole.advance();
    folder.save(whole.step, whole.save());
  }

  for (const auto& saved : folder.list()) {
    INFO("resumed at step " << saved.step);
    torch::manual_seed(999);  // Another process starts from another seed.
    Run resumed;
    resumed.load(load_checkpoint(saved.path));
    REQUIRE(resumed.step == saved.step);
    while (resumed.step < kSteps) {
      const auto step = resumed.step;
      REQUIRE(resumed.advance() == losses.at(step));
    }
    const auto expected = whole.save();
    for (const auto& [part, state] : resumed.save())
      for (const auto& [name, tensor] : state.tensors) {
        INFO(part << "/" << name);
        if (part != "random") REQUIRE(tensor.equal(expected.at(part).tensor(name)));
      }
  }
}

TEST_CASE("Restoring the generator repeats what was drawn", "[checkpoint][cpu]") {
  const auto state = rng_state();
  const auto first = torch::randn({7});
  REQUIRE_FALSE(torch::randn({7}).equal(first));
  restore_rng_state(state);
  REQUIRE(torch::randn({7}).equal(first));
}

TEST_CASE("The CUDA generators are part of the state where there are any", "[checkpoint][gpu]") {
  if (!torch::cuda::is_available()) {
    WARN("no CUDA device");
    return;
  }
  const auto state = rng_state();
  const auto options = torch::dtype(torch::kFloat).device(torch::kCUDA);
  const auto first = torch::randn({7}, options);
  restore_rng_state(state);
  REQUIRE(torch::randn({7}, options).equal(first));
}
