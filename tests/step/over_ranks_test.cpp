// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
// Mistakes over ranks that a step refuses, because the program would train wrongly without an
// error.
#include <string>
#include <vector>

#include "contrapunto/core/error_text.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/loss/info_nce.hpp"
#include "contrapunto/loss/tiled_info_nce.hpp"
#include "contrapunto/step/accumulator.hpp"
#include "contrapunto/step/full_batch.hpp"
#include "contrapunto/step/grad_cache.hpp"
#include "step/step_models.hpp"
#include "support/catch.hpp"
#include "support/thread_ranks.hpp"
#include "support/tolerance.hpp"

using namespace contrapunto;
using Catch::Matchers::Contains;

namespace {

/// Cross-entropy of the first feature columns with the labels of the batch, a mean over samples.
struct LocalMean {
  at::Tensor operator()(const Embeddings& e, const Batch& batch) const {
    return at::cross_entropy_loss(e.x, batch.at("label"));
  }
};
struct SeparableMean : LocalMean {
  static constexpr bool kSeparable = true;
};

Batch labeled_batch(std::int64_t samples) {
  auto batch = test::small_batch(samples);
  batch.tensors["label"] = torch::arange(samples) % 8;
  return batch;
}

StepModel<> step_of(const DualEncoder& model) {
  return pair_step_model(model, torch::kCPU);
}

/// The messages that the ranks raised when each ran `work(rank)`; every rank must raise.
template <class Work>
std::vector<std::string> failures_of(std::int64_t ranks, const Work& work) {
  std::vector<std::string> failures(static_cast<std::size_t>(ranks));
  test::run_thread_ranks(ranks, [&](const test::ThreadRank& rank) {
    try {
      work(rank);
    } catch (const std::exception& error) {
      failures[static_cast<std::size_t>(rank.rank())] = error_text(error);
    }
  });
  return failures;
}

}  // namespace

TEST_CASE("A loss that was not given the ranks is refused", "[step][cpu]") {
  std::vector<DualEncoder> models{test::small_model(), test::small_model()};
  for (const auto& failure : failures_of(2, [&](const test::ThreadRank& rank) {
         const auto& model = models[static_cast<std::size_t>(rank.rank())];
         GradCache step(step_of(model), TiledInfoNce(), {.chunk_size = 2}, {.ranks = rank});
         step(test::part_of(test::small_batch(8), 4 * rank.rank(), 4));
       }))
    CHECK_THAT(failure,
               Contains("the loss has 1 ranks") && Contains("TiledInfoNce loss({}, ranks)"));
}

TEST_CASE("A loss that is a mean over one rank's samples is named", "[step][cpu]") {
  std::vector<DualEncoder> models{test::small_model(), test::small_model()};
  for (const auto& failure : failures_of(2, [&](const test::ThreadRank& rank) {
         const auto& model = models[static_cast<std::size_t>(rank.rank())];
         FullBatch step(step_of(model), LocalMean{}, {.ranks = rank});
         step(test::part_of(labeled_batch(8), 4 * rank.rank(), 4));
       }))
    CHECK_THAT(failure, Contains("on rank 1 and") && Contains("kSeparable = true"));
}

TEST_CASE("A separable loss is averaged over the samples of all ranks by every strategy",
          "[step][cpu]") {
  const auto batch = labeled_batch(10);
  auto whole = test::small_model();
  whole->to(torch::kDouble);
  auto wide = batch;
  wide.tensors["image"] = batch.at("image").to(torch::kDouble);
  const double loss = FullBatch(step_of(whole), LocalMean{})(wide).total.item<double>();
  const auto expected = test::take_gradients(*whole);
  for (const int strategy : {0, 1, 2}) {
    std::vector<DualEncoder> models{test::small_model(), test::small_model()};
    for (auto& model : models) model->to(torch::kDouble);
    std::vector<double> losses(2);
    std::vector<test::Gradients> gradients(2);
    test::run_thread_ranks(2, [&](const test::ThreadRank& rank) {
      const auto r = static_cast<std::size_t>(rank.rank());
      const auto part = test::part_of(wide, r == 0 ? 0 : 7, r == 0 ? 7 : 3);  // uneven
      const StepContext context{.ranks = rank};
      const auto run = [&](auto step) { losses[r] = step(part).total.template item<double>(); };
      if (strategy == 0) run(FullBatch(step_of(models[r]), SeparableMean{}, context));
      if (strategy == 1)
        run(Accumulator(step_of(models[r]), SeparableMean{}, {.micro_batch = 2}, context));
      if (strategy == 2)
        run(GradCache(step_of(models[r]), SeparableMean{}, {.chunk_size = 2}, context));
      gradients[r] = test::take_gradients(*models[r]);
    });
    for (std::size_t r = 0; r < 2; ++r) {
      INFO("strategy " << strategy << ", rank " << r);
      CHECK(losses[r] == Approx(loss).epsilon(1e-12));
      CHECK(test::gradient_error(gradients[r], expected) < 1e-10);
    }
  }
}

TEST_CASE("Ranks that read the same batch are named", "[step][cpu]") {
  for (const bool with_keys : {true, false}) {
    std::vector<DualEncoder> models{test::small_model(), test::small_model()};
    auto batch = test::small_batch(4);  // Threads that draw at once would mix the random numbers.
    if (!with_keys) batch.keys.clear();
    for (const auto& failure : failures_of(2, [&](const test::ThreadRank& rank) {
           const auto& model = models[static_cast<std::size_t>(rank.rank())];
           FullBatch step(step_of(model), TiledInfoNce({}, rank), {.ranks = rank});
           step(batch);
         }))
      CHECK_THAT(failure, Contains("ranks 0 and 1 have the same batch of 4 samples") &&
                              Contains("LoaderOptions::ranks"));
  }
}

TEST_CASE("Ranks whose weights differ are named before the first step", "[step][cpu]") {
  std::vector<DualEncoder> models{test::small_model(), test::small_model()};
  {
    const torch::NoGradGuard no_grad;
    models[1]->logit_scale.add_(0.5);
  }
  for (const auto& failure : failures_of(2, [&](const test::ThreadRank& rank) {
         const auto& model = models[static_cast<std::size_t>(rank.rank())];
         FullBatch step(step_of(model), TiledInfoNce({}, rank), {.ranks = rank});
         step(test::part_of(test::small_batch(8), 4 * rank.rank(), 4));
       }))
    CHECK_THAT(failure, Contains("the weights of rank 1 differ from those of rank 0"));
}

TEST_CASE("A loss with ranks that the context lacks is refused", "[step][cpu]") {
  std::vector<DualEncoder> models{test::small_model(), test::small_model()};
  for (const auto& failure : failures_of(2, [&](const test::ThreadRank& rank) {
         const auto& model = models[static_cast<std::size_t>(rank.rank())];
         GradCache step(step_of(model), TiledInfoNce({}, rank), {.chunk_size = 2});
       }))
    CHECK_THAT(failure, Contains("the loss has 2 ranks, StepContext::ranks has 1"));
}

TEST_CASE("Weights that drift apart are named at the second step", "[step][cpu]") {
  std::vector<DualEncoder> models{test::small_model(), test::small_model()};
  for (const auto& failure : failures_of(2, [&](const test::ThreadRank& rank) {
         const auto& model = models[static_cast<std::size_t>(rank.rank())];
         FullBatch step(step_of(model), TiledInfoNce({}, rank), {.ranks = rank});
         for (int i = 0; i < 2; ++i) {
           step(test::part_of(test::small_batch(8), 4 * rank.rank(), 4));
           const torch::NoGradGuard no_grad;
           const double lr = 0.01 * static_cast<double>(1 + rank.rank());  // the mistake
           for (auto& weight : model->parameters())
             if (weight.grad().defined()) weight.sub_(weight.grad(), lr);
         }
       }))
    CHECK_THAT(failure, Contains("the weights of rank 1 differ") && Contains("before step 2"));
}

TEST_CASE("A user's loss is computed in float32 under every precision", "[step][cpu]") {
  // At scale 100 a product in bf16 has 8 bits: logits would be off by up to 0.2.
  struct OwnInfoNce {
    at::Tensor operator()(const Embeddings& e) const {
      REQUIRE(e.x.scalar_type() == torch::kFloat);
      const auto logits = e.scale * e.x.mm(e.y.t());
      REQUIRE(logits.scalar_type() == torch::kFloat);
      return at::cross_entropy_loss(logits, at::arange(e.x.size(0), at::kLong));
    }
  };
  const auto batch = test::small_batch(16);
  const StepContext context{.precision = precision_policy("bf16")};
  for (const int strategy : {0, 1, 2}) {
    const auto model = test::small_model(0.0, 100.0);
    const auto value = [&](auto step) { return step(batch).total.template item<double>(); };
    if (strategy == 0) value(FullBatch(step_of(model), OwnInfoNce{}, context));
    if (strategy == 1)
      value(Accumulator(step_of(model), OwnInfoNce{}, {.micro_batch = 5}, context));
    if (strategy == 2) value(GradCache(step_of(model), OwnInfoNce{}, {.chunk_size = 5}, context));
  }
}

namespace {

/// A tower of a user, with torch's own batch norm.
struct OwnTowerImpl : torch::nn::Module {
  OwnTowerImpl() {
    convolution = register_module("convolution",
                                  torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 8, 4).stride(4)));
    norm = register_module("norm", torch::nn::BatchNorm2d(8));
  }
  at::Tensor forward(const at::Tensor& images) {
    return torch::relu(norm(convolution(images))).mean({2, 3});
  }
  torch::nn::Conv2d convolution{nullptr};
  torch::nn::BatchNorm2d norm{nullptr};
};
TORCH_MODULE(OwnTower);

}  // namespace

TEST_CASE("Running statistics end as one pass over the chunks leaves them", "[step][cpu]") {
  const auto batch = test::small_batch(24);
  const auto made = [] {
    torch::manual_seed(3);
    OwnTower tower;
    return std::pair(tower, DualEncoder(tower, test::DroppingText(0.0)));
  };
  for (const std::int64_t chunk : {24, 8, 5}) {
    auto [expected, by_hand] = made();
    by_hand->train();
    {
      const torch::NoGradGuard no_grad;
      for (std::int64_t begin = 0; begin < 24; begin += chunk)
        static_cast<void>(
            by_hand->encode_image(batch.at("image").narrow(0, begin, std::min(chunk, 24 - begin))));
    }
    for (const double keep : {0.0, 1e9, -1.0})
      for (const std::int64_t steps : {1, 2}) {
        auto [tower, model] = made();
        GradCache step(step_of(model), InfoNce{}, {.chunk_size = chunk, .keep_bytes = keep});
        step(batch);
        if (steps == 2) {  // kept graphs appear in the second step only
          tower->norm->running_mean.zero_();
          tower->norm->running_var.fill_(1.0);
          tower->norm->num_batches_tracked.zero_();
          step(batch);
        }
        INFO("chunks of " << chunk << ", keep_bytes " << keep << ", step " << steps);
        CHECK(tower->norm->num_batches_tracked.equal(expected->norm->num_batches_tracked));
        CHECK(tower->norm->running_mean.equal(expected->norm->running_mean));
        CHECK(tower->norm->running_var.equal(expected->norm->running_var));
      }
  }
  // Measuring the chunk size changes no state.
  auto [tower, model] = made();
  static_cast<void>(choose_chunk_size(step_of(model), batch, {}));
  CHECK(tower->norm->num_batches_tracked.item<std::int64_t>() == 0);
  CHECK(tower->norm->running_mean.equal(torch::zeros({8})));
}

TEST_CASE("A chunk that holds the whole batch is one forward and one backward", "[step][cpu]") {
  auto model = test::small_model();
  const auto batch = test::small_batch(12);
  FullBatch whole(step_of(model), InfoNce{});
  whole(batch);
  const auto expected = test::take_gradients(*model);
  auto parts = step_of(model);
  int forwards = 0;
  parts.encoders[0].forward = [&, forward = parts.encoders[0].forward](const at::Tensor& x) {
    ++forwards;
    return forward(x);
  };
  GradCache step(parts, InfoNce{}, {.chunk_size = parse_chunk_size("none")});
  step(batch);
  CHECK(forwards == 1);
  CHECK(test::gradient_error(test::take_gradients(*model), expected) == 0.0);
  CHECK(step.facts().forward_passes == 1);
  CHECK(parse_chunk_size("auto") == 0);
  CHECK(parse_chunk_size("64") == 64);
  for (const auto* wrong : {"0", "-3", "many", "12x", ""})
    CHECK_THROWS_WITH(parse_chunk_size(wrong), Contains("'none', 'auto' or a number"));
}
