// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/nn/batch_norm.hpp"

#include "contrapunto/nn/freeze_batch_norm.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;

TEST_CASE("Batch norm in training agrees with torch.nn.BatchNorm2d", "[nn][cpu]") {
  torch::manual_seed(4);
  BatchNorm ours(5);
  torch::nn::BatchNorm2d theirs(5);
  for (int step = 0; step < 3; ++step) {
    const auto x = torch::randn({4, 5, 3, 3}) * 2 + 1;
    CHECK(test::close(ours(x), theirs(x)));
  }
  CHECK(test::close(ours->running_mean, theirs->running_mean));
  CHECK(test::close(ours->running_var, theirs->running_var));
  CHECK(ours->num_batches_tracked.item<std::int64_t>() == 3);
}

TEST_CASE("A frozen batch norm uses and keeps its running statistics in training", "[nn][cpu]") {
  torch::manual_seed(5);
  BatchNorm norm(3);
  const auto x = torch::randn({4, 3, 2, 2}) + 1;
  static_cast<void>(norm(x));
  norm->eval();
  const auto expected = norm(x);
  norm->train();
  CHECK_FALSE(at::equal(norm(x), expected));  // it does differ before freezing
  norm->eval();
  const auto mean = norm->running_mean.clone();
  const auto evaluated = norm(x);
  norm->train();
  norm->freeze_statistics();
  CHECK(at::equal(norm(x), evaluated));
  CHECK(at::equal(norm->running_mean, mean));
  CHECK(norm->num_batches_tracked.item<std::int64_t>() == 2);
}

TEST_CASE("Batch norm stays in float32 when its model is cast to 16 bits", "[nn][cpu]") {
  torch::nn::Module model;
  auto norm = model.register_module("norm", BatchNorm(3));
  model.to(at::kBFloat16);
  CHECK(norm->weight.scalar_type() == at::kFloat);
  CHECK(norm->running_var.scalar_type() == at::kFloat);
  CHECK(norm->num_batches_tracked.scalar_type() == at::kLong);
  CHECK(norm->forward(torch::randn({2, 3, 4, 4}).to(at::kBFloat16)).scalar_type() == at::kBFloat16);
  model.to(at::kDouble);
  CHECK(norm->running_mean.scalar_type() == at::kDouble);
  CHECK(norm->num_batches_tracked.scalar_type() == at::kLong);
}

TEST_CASE("Batch norm works when only its parameters were cast to 16 bits", "[nn][cpu]") {
  BatchNorm norm(3);
  for (auto& p : norm->parameters()) p.set_data(p.to(at::kBFloat16));
  const auto y = norm(torch::randn({2, 3, 4, 4}).to(at::kBFloat16));
  CHECK(y.scalar_type() == at::kBFloat16);
  CHECK(norm->running_mean.scalar_type() == at::kFloat);
}

TEST_CASE("A recomputed forward of batch norm gives the same output and updates no statistics",
          "[nn][cpu]") {
  torch::manual_seed(6);
  BatchNorm norm(3);
  const auto x = (torch::randn({4, 3, 2, 2}) + 1).requires_grad_();
  const auto parameters = norm->parameters();
  const auto first = norm(x);
  const auto gradient =
      torch::autograd::grad({first.square().sum()}, {x, parameters[0], parameters[1]});
  const auto mean = norm->running_mean.clone();
  const auto variance = norm->running_var.clone();
  {
    const RecomputeScope again;
    const auto second = norm(x);
    CHECK(at::equal(second, first));
    const auto repeated =
        torch::autograd::grad({second.square().sum()}, {x, parameters[0], parameters[1]});
    for (std::size_t i = 0; i < gradient.size(); ++i) CHECK(at::equal(repeated[i], gradient[i]));
  }
  CHECK(at::equal(norm->running_mean, mean));
  CHECK(at::equal(norm->running_var, variance));
  CHECK(norm->num_batches_tracked.item<std::int64_t>() == 1);
  static_cast<void>(norm(x));
  CHECK_FALSE(at::equal(norm->running_mean, mean));
  CHECK(norm->num_batches_tracked.item<std::int64_t>() == 2);
}

TEST_CASE("A recomputed forward of a frozen or evaluated batch norm uses its running statistics",
          "[nn][cpu]") {
  torch::manual_seed(7);
  BatchNorm norm(3);
  const auto x = torch::randn({4, 3, 2, 2}) + 1;
  static_cast<void>(norm(x));
  norm->eval();
  const auto evaluated = norm(x);
  const RecomputeScope again;
  CHECK(at::equal(norm(x), evaluated));
  norm->train();
  norm->freeze_statistics();
  CHECK(at::equal(norm(x), evaluated));
}

TEST_CASE("Frozen batch norm treats each sample alone", "[nn][cpu]") {
  torch::manual_seed(3);
  torch::nn::Sequential model{BatchNorm(3)};
  REQUIRE(freeze_batch_norm(*model) == 1);
  const auto x = torch::randn({4, 3, 2, 2});
  const auto whole = model->forward(x);
  REQUIRE(model->forward(x.narrow(0, 1, 1)).equal(whole.narrow(0, 1, 1)));
  REQUIRE(model->buffers().front().equal(torch::zeros({3})));
}
