// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#include "contrapunto/loss/binary_cross_entropy.hpp"

#include "contrapunto/loss/class_loss.hpp"
#include "contrapunto/precision/autocast_guard.hpp"
#include "loss/class_oracle.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

double value(const at::Tensor& logits, const Batch& batch, BinaryCrossEntropyOptions options = {}) {
  return BinaryCrossEntropy(options)(logits, batch).total.item<double>();
}

}  // namespace

TEST_CASE("Binary cross-entropy equals loops in float64", "[loss][cpu]") {
  torch::manual_seed(1);
  for (const bool mixed : {false, true})
    for (const double smoothing : {0.0, 0.1})
      for (const double threshold : {-1.0, 0.0, 0.2}) {
        const auto batch = test::class_batch(9, 7, mixed);
        const auto logits = 3 * torch::randn({9, 7});
        const double sum = test::binary_by_loops(logits, batch, smoothing, threshold);
        BinaryCrossEntropyOptions options{.label_smoothing = smoothing};
        if (threshold >= 0) options.threshold = threshold;
        INFO(mixed << " " << smoothing << " " << threshold);
        CHECK(value(logits, batch, options) == Approx(sum / 7).epsilon(2e-6));
        options.sum_classes = true;
        CHECK(value(logits, batch, options) == Approx(sum).epsilon(2e-6));
        CHECK(value(logits.to(torch::kDouble), batch, options) == Approx(sum).epsilon(1e-6));
      }
}

TEST_CASE("The gradient of binary cross-entropy is sigmoid minus targets", "[loss][cpu]") {
  torch::manual_seed(3);
  const auto batch = test::class_batch(6, 5, true);
  const auto logits = torch::randn({6, 5}).requires_grad_(true);
  BinaryCrossEntropy({.label_smoothing = 0.1, .sum_classes = true})(logits, batch).total.backward();
  const auto targets = test::class_targets_by_loops(batch, 5, 0.1);
  auto expected = logits.detach().to(torch::kDouble).sigmoid();
  for (std::int64_t i = 0; i < 6; ++i)
    expected[i] -= torch::tensor(targets[static_cast<std::size_t>(i)], torch::kDouble);
  CHECK(test::close(logits.grad(), expected / 6, 10));
}

TEST_CASE("Binary cross-entropy of equal logits is ln 2 for each class", "[loss][cpu]") {
  const auto batch = test::class_batch(3, 11, true);
  CHECK(value(torch::zeros({3, 11}), batch) == Approx(std::log(2.0)).epsilon(1e-6));
  CHECK(value(torch::zeros({3, 11}), batch, {.sum_classes = true}) ==
        Approx(11 * std::log(2.0)).epsilon(1e-6));
}

TEST_CASE("Binary cross-entropy stays finite for large logits", "[loss][cpu]") {
  Batch batch;
  batch.tensors["label"] = torch::tensor({0, 1}, torch::kLong);
  const auto logits = torch::tensor({{200.0F, -200.0F}, {200.0F, -200.0F}});
  CHECK(value(logits, batch, {.sum_classes = true}) == Approx(200.0));  // of 0 and 400
}

TEST_CASE("Binary cross-entropy computes in float32 under bf16 autocast", "[loss][cpu]") {
  torch::manual_seed(5);
  const auto batch = test::class_batch(32, 50, true);
  const auto logits = 10 * torch::randn({32, 50});
  const double exact = value(logits, batch);
  const AutocastGuard autocast(precision_policy("bf16"), at::kCPU);
  CHECK(value(logits, batch) == exact);
  const auto terms = BinaryCrossEntropy()(logits.to(torch::kBFloat16), batch);
  CHECK(terms.total.scalar_type() == torch::kFloat);
}

TEST_CASE("Binary cross-entropy names options and labels out of range", "[loss][cpu]") {
  Batch batch;
  batch.tensors["label"] = torch::tensor({0, 3}, torch::kLong);
  CHECK_THROWS_WITH(value(torch::zeros({2, 3}), batch), Contains("from 0 to 3"));
  CHECK_THROWS_WITH(BinaryCrossEntropy({.label_smoothing = -0.1}), Contains("label_smoothing"));
  CHECK_THROWS_WITH(BinaryCrossEntropy({.threshold = 1.0}), Contains("threshold (1)"));
}

TEST_CASE("A loss over classes is chosen by name", "[loss][cpu]") {
  torch::manual_seed(6);
  const auto batch = test::class_batch(8, 5, true);
  const auto logits = torch::randn({8, 5});
  const auto of = [&](const ClassLossOptions& options) {
    return ClassLoss(options)(logits, batch).total.item<double>();
  };
  CHECK(of({.label_smoothing = 0.1}) ==
        SoftmaxCrossEntropy({.label_smoothing = 0.1})(logits, batch).total.item<double>());
  CHECK(of({.kind = "bce"}) == value(logits, batch));
  CHECK(of({.kind = "bce", .threshold = 0.2, .sum_classes = true}) ==
        value(logits, batch, {.threshold = 0.2, .sum_classes = true}));
  CHECK_THROWS_WITH(of({.kind = "hinge"}), Contains("\"hinge\"") && Contains("softmax or bce"));
  CHECK_THROWS_WITH(of({.threshold = 0.2}), Contains("threshold (0.2)"));
}
