// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/loss/softmax_cross_entropy.hpp"

#include "contrapunto/precision/autocast_guard.hpp"
#include "loss/class_oracle.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

double value(const at::Tensor& logits, const Batch& batch, double smoothing = 0.0) {
  return SoftmaxCrossEntropy({.label_smoothing = smoothing})(logits, batch).total.item<double>();
}

double top1(const at::Tensor& logits, const Batch& batch) {
  const auto terms = SoftmaxCrossEntropy()(logits, batch);
  REQUIRE(terms.parts.size() == 1);
  REQUIRE(terms.parts[0].first == "top1");
  return terms.parts[0].second.item<double>();
}

}  // namespace

TEST_CASE("Softmax cross-entropy equals loops in float64", "[loss][cpu]") {
  torch::manual_seed(1);
  for (const bool mixed : {false, true})
    for (const double smoothing : {0.0, 0.1}) {
      const auto batch = test::class_batch(9, 7, mixed);
      const auto logits = 3 * torch::randn({9, 7});
      INFO(mixed << " " << smoothing);
      CHECK(value(logits, batch, smoothing) ==
            Approx(test::softmax_by_loops(logits, batch, smoothing)).epsilon(2e-6));
      CHECK(value(logits.to(torch::kDouble), batch, smoothing) ==
            Approx(test::softmax_by_loops(logits, batch, smoothing)).epsilon(1e-12));
    }
}

TEST_CASE("Softmax cross-entropy is torch's, with its gradient", "[loss][cpu]") {
  torch::manual_seed(2);
  const auto batch = test::class_batch(16, 10, false);
  const auto logits = torch::randn({16, 10}, torch::kDouble).requires_grad_(true);
  const auto torchs = at::cross_entropy_loss(logits, batch.at("label"), {}, at::Reduction::Mean,
                                             -100, /*label_smoothing=*/0.2);
  torchs.backward();
  const auto expected = logits.grad().clone();
  logits.mutable_grad().reset();
  const auto terms = SoftmaxCrossEntropy({.label_smoothing = 0.2})(logits, batch);
  terms.total.backward();
  CHECK(terms.total.item<double>() == Approx(torchs.item<double>()).epsilon(1e-12));
  CHECK(test::close(logits.grad(), expected, 10));
}

TEST_CASE("The gradient of mixed samples is softmax minus targets", "[loss][cpu]") {
  torch::manual_seed(3);
  const auto batch = test::class_batch(6, 5, true);
  const auto logits = torch::randn({6, 5}, torch::kDouble).requires_grad_(true);
  SoftmaxCrossEntropy({.label_smoothing = 0.1})(logits, batch).total.backward();
  const auto targets = test::class_targets_by_loops(batch, 5, 0.1);
  auto expected = logits.detach().softmax(1);
  for (std::int64_t i = 0; i < 6; ++i)
    expected[i] -= torch::tensor(targets[static_cast<std::size_t>(i)], torch::kDouble);
  CHECK(test::close(logits.grad(), expected / 6, 10));
}

TEST_CASE("A sample that is mixed with weight 1 or with its own class is not mixed",
          "[loss][cpu]") {
  torch::manual_seed(4);
  auto batch = test::class_batch(8, 5, true);
  const auto logits = torch::randn({8, 5});
  Batch plain;
  plain.tensors["label"] = batch.at("label");
  const double expected = value(logits, plain);
  batch.tensors[kMixedLabelName] = batch.at("label");
  CHECK(value(logits, batch) == Approx(expected).epsilon(1e-6));
  batch.tensors[kMixedLabelName] = torch::randint(5, {8}, torch::kLong);
  batch.tensors[kLabelWeightName] = torch::ones({8});
  CHECK(value(logits, batch) == Approx(expected).epsilon(1e-6));
}

TEST_CASE("Top-1 counts the class with the larger share", "[loss][cpu]") {
  const auto logits = torch::eye(4);
  Batch batch;
  batch.tensors["label"] = torch::tensor({0, 1, 3, 2}, torch::kLong);
  CHECK(top1(logits, batch) == 0.5);
  batch.tensors[kMixedLabelName] = torch::tensor({1, 2, 2, 3}, torch::kLong);
  batch.tensors[kLabelWeightName] = torch::tensor({0.6F, 0.4F, 0.4F, 0.6F});
  CHECK(top1(logits, batch) == 0.5);  // The first and the third.
}

TEST_CASE("Class losses compute in float32 under bf16 autocast and from bf16 logits",
          "[loss][cpu]") {
  torch::manual_seed(5);
  const auto batch = test::class_batch(32, 50, true);
  const auto logits = 10 * torch::randn({32, 50});
  const double exact = value(logits, batch, 0.1);
  {
    const AutocastGuard autocast(precision_policy("bf16"), at::kCPU);
    CHECK(value(logits, batch, 0.1) == exact);
  }
  const auto rounded = logits.to(torch::kBFloat16);
  const auto terms = SoftmaxCrossEntropy({.label_smoothing = 0.1})(rounded, batch);
  CHECK(terms.total.scalar_type() == torch::kFloat);
  CHECK(terms.total.item<double>() ==
        Approx(test::softmax_by_loops(rounded.to(torch::kFloat), batch, 0.1)).epsilon(1e-5));
}

TEST_CASE("Softmax cross-entropy names what it cannot use", "[loss][cpu]") {
  const auto logits = torch::zeros({4, 3});
  Batch batch;
  CHECK_THROWS_WITH(value(logits, batch), Contains("'label'"));
  batch.tensors["label"] = torch::tensor({0, 1, 2, 3}, torch::kLong);
  CHECK_THROWS_WITH(value(logits, batch), Contains("from 0 to 3") && Contains("3 classes"));
  batch.tensors["label"] = torch::tensor({0, 1, -1, 2}, torch::kLong);
  CHECK_THROWS_WITH(value(logits, batch), Contains("from -1 to 2") && Contains("check_labels"));
  batch.tensors["label"] = torch::tensor({0, 1, 2}, torch::kLong);
  CHECK_THROWS_WITH(value(logits, batch), Contains("[3]") && Contains("[4]"));
  batch.tensors["label"] = torch::tensor({0.0F, 1.0F, 2.0F, 0.0F});
  CHECK_THROWS_WITH(value(logits, batch), Contains("int64"));
  batch.tensors["label"] = torch::zeros({4}, torch::kLong);
  CHECK_THROWS_WITH(value(torch::zeros({4}), batch), Contains("[samples, classes]"));
  CHECK_THROWS_WITH(value(torch::zeros({0, 3}), batch), Contains("[0, 3]"));
  batch.tensors[kMixedLabelName] = torch::zeros({4}, torch::kLong);
  CHECK_THROWS_WITH(value(logits, batch), Contains("label_weight"));
  batch.tensors[kLabelWeightName] = torch::zeros({3});
  CHECK_THROWS_WITH(value(logits, batch), Contains("label_weight") && Contains("[3]"));
  CHECK_THROWS_WITH(SoftmaxCrossEntropy({.label_smoothing = 1.0}), Contains("label_smoothing (1)"));
}
