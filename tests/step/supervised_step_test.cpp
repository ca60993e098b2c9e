// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
// A classifier with mixed images has the gradients of the whole batch under every strategy, split
// and number of ranks.
#include <string>
#include <vector>

#include "contrapunto/image/mixup.hpp"
#include "contrapunto/loss/class_loss.hpp"
#include "contrapunto/step/accumulator.hpp"
#include "contrapunto/step/full_batch.hpp"
#include "contrapunto/step/grad_cache.hpp"
#include "step/step_models.hpp"
#include "support/catch.hpp"
#include "support/thread_ranks.hpp"

using namespace contrapunto;

namespace {

struct ClassifierImpl : torch::nn::Module {
  ClassifierImpl() {
    torch::manual_seed(3);
    tower = register_module("tower", test::small_vit(0.0));
    head = register_module("head", torch::nn::Linear(8, 10));
    to(torch::kDouble);
  }
  VisionTransformer tower{nullptr};
  torch::nn::Linear head{nullptr};
};
TORCH_MODULE(Classifier);

StepModel<at::Tensor> step_of(Classifier model) {
  const auto encode = [model](const at::Tensor& bytes) mutable -> Features {
    return model->tower(bytes.to(torch::kDouble) / 255);
  };
  const auto head = [model](const std::vector<Features>& features, const Batch&) mutable {
    return model->head(features[0].tensors.front());
  };
  return {{{"image", encode}}, head, model->parameters(), model->buffers()};
}

Batch mixed_batch(std::int64_t samples) {
  torch::manual_seed(5);
  Batch batch;
  batch.tensors["image"] = torch::randint(256, {samples, 3, 16, 16}, torch::kByte);
  batch.tensors["label"] = torch::randint(10, {samples}, torch::kLong);
  return Mixup{.mixup = 0.8, .cutmix = 1.0, .mode = MixupMode::kElement}(batch, 1, 0);
}

const std::vector<ClassLossOptions> kLosses{
    {.label_smoothing = 0.1}, {.kind = "bce"}, {.kind = "bce", .threshold = 0.2}};

}  // namespace

TEST_CASE("Losses over classes have the gradient of the whole batch with every strategy and split",
          "[step][cpu]") {
  const auto batch = mixed_batch(11);
  for (const auto& options : kLosses) {
    const ClassLoss loss(options);
    Classifier model;
    const auto step = step_of(model);
    double expected = 0.0, result = 0.0;
    FullBatch whole(step, loss);
    const auto gradients = test::gradients_of(whole, batch, *model, &expected);
    const auto top1 = whole(batch).parts.at(0).second.item<double>();
    test::take_gradients(*model);
    const auto same = [&](auto strategy) {
      const auto found = test::gradients_of(strategy, batch, *model, &result);
      CHECK(result == Approx(expected).epsilon(1e-12));
      CHECK(test::gradient_error(found, gradients) < 1e-10);
      CHECK(strategy(batch).parts.at(0).second.template item<double>() == Approx(top1));
      test::take_gradients(*model);
    };
    for (const std::int64_t chunk :
         {std::int64_t{1}, std::int64_t{4}, std::int64_t{50}, kWholeBatch}) {
      INFO(options.kind << ", chunks of " << chunk);
      same(Accumulator(step, loss, {.micro_batch = chunk}));
      same(GradCache(step, loss, {.chunk_size = chunk}));
    }
  }
}

TEST_CASE("Losses over classes are means over the samples of all ranks", "[step][cpu]") {
  const auto batch = mixed_batch(10);
  for (const auto& options : kLosses) {
    const ClassLoss loss(options);
    Classifier whole;
    double expected = 0.0;
    FullBatch strategy(step_of(whole), loss);
    const auto gradients = test::gradients_of(strategy, batch, *whole, &expected);
    std::vector<Classifier> models{Classifier(), Classifier()};
    std::vector<double> losses(2);
    std::vector<test::Gradients> found(2);
    test::run_thread_ranks(2, [&](const test::ThreadRank& rank) {
      const auto r = static_cast<std::size_t>(rank.rank());
      Accumulator step(step_of(models[r]), loss, {.micro_batch = 3}, {.ranks = rank});
      losses[r] = step(test::part_of(batch, r == 0 ? 0 : 7, r == 0 ? 7 : 3)).total.item<double>();
      found[r] = test::take_gradients(*models[r]);
    });
    for (std::size_t r = 0; r < 2; ++r) {
      CHECK(losses[r] == Approx(expected).epsilon(1e-12));
      CHECK(test::gradient_error(found[r], gradients) < 1e-10);
    }
  }
}

TEST_CASE("An Accumulator measures its micro-batch, and says what it does", "[step][cpu]") {
  const auto batch = mixed_batch(20);
  Classifier model;
  const auto step = step_of(model);
  double expected = 0.0, result = 0.0;
  FullBatch whole(step, ClassLoss());
  const auto gradients = test::gradients_of(whole, batch, *model, &expected);
  Accumulator measured(step, ClassLoss(), {.micro_batch = 0});
  const auto found = test::gradients_of(measured, batch, *model, &result);
  CHECK(result == Approx(expected).epsilon(1e-12));
  CHECK(test::gradient_error(found, gradients) < 1e-10);
  measured.measure_again();
  CHECK(test::gradient_error(test::gradients_of(measured, batch, *model), gradients) < 1e-10);
  CHECK(measured.facts().chunks == StepFacts::Chunks::kMeasured);
  const auto fixed = Accumulator(step, ClassLoss(), {.micro_batch = 4}).facts();
  CHECK(fixed.chunks == StepFacts::Chunks::kFixed);
  CHECK(fixed.chunk_size == 4);
  CHECK(fixed.forward_passes == 1);
  CHECK(Accumulator(step, ClassLoss(), {.micro_batch = kWholeBatch}).facts().chunks ==
        StepFacts::Chunks::kWholeBatch);
}
